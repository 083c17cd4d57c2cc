//! The size of a token fits into a header of nginx.

use super::{SigningKeyFolder, claims};

#[test]
#[expect(clippy::print_stderr, reason = "the sizes are there to be quoted")]
fn token_for_ten_repositories_fits_into_a_header() {
    let names: Vec<String> =
        (0..10).map(|n| format!("repository:some-team/application-{n}:pull,push")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (folder, most) in [
        (SigningKeyFolder::new(), 2600),
        (SigningKeyFolder::rsa(2048), 4000),
        (SigningKeyFolder::rsa(3072), 4800),
        (SigningKeyFolder::rsa(4096), 5600),
    ] {
        let size = |scopes: &[&str]| folder.keys().sign(&claims(scopes)).unwrap().len();
        let (none, one, ten) = (size(&[]), size(&names[..1]), size(&names));
        assert!(none < one && one < ten && ten < most, "{none}, {one}, {ten}");
        eprintln!("{:?}: no scope {none} bytes, one {one}, ten {ten}", folder.keys());
    }
}
