//! Rotation of a signing key while registries run.

use super::SigningKeyFolder;
use super::verifying_registry::{VerifyingRegistry, registries};

#[test]
fn tokens_of_both_keys_are_accepted_until_the_old_key_is_removed() {
    for program in registries() {
        for folder in [SigningKeyFolder::new(), SigningKeyFolder::rsa(3072)] {
            // The path of the bundle stays the same. Only its content changes.
            let snippet = folder.text("registry-auth.yml");
            let old = folder.token(&[]);
            let registry = VerifyingRegistry::start(&program, &snippet);
            folder.succeeds("add", &[]);
            let [first, second] = &folder.kids()[..] else { panic!("two keys") };
            // The new key does not sign yet. Registries that have not read it still accept all tokens.
            assert_eq!((registry.ping(&old), registry.ping(&folder.token(&[]))), (200, 200));
            folder.succeeds("use", &[second]);
            let new = folder.token(&[]);
            registry.refuses("a registry that was not started again does not know it", &new);
            drop(registry);
            let registry = VerifyingRegistry::start(&program, &snippet);
            assert_eq!((registry.ping(&old), registry.ping(&new)), (200, 200));
            folder.succeeds("remove", &[first]);
            assert_eq!(registry.ping(&old), 200, "it has not read the bundle again");
            drop(registry);
            let registry = VerifyingRegistry::start(&program, &snippet);
            registry.refuses("the old key is gone", &old);
            assert_eq!(registry.ping(&new), 200);
            let keys = folder.keys();
            assert!(keys.verify(&old, super::now()).is_err() && keys.verify(&new, super::now()).is_ok());
        }
    }
}
