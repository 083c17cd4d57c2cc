//! A fake web service of a marketplace with accounts, keys, reserved names and purchases. doorward gets them as
//! `examples/marketplace.toml` or `examples/marketplace-files.toml` describes.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex};

use serde_json::json;

use crate::support::PATIENCE;
use crate::support::api::{Call, Reply};
use crate::support::keys::{Key, from_now};

/// The secret with which doorward authenticates to the service.
pub(super) const INTERNAL: &str = "of-doorward";

/// The way in which doorward gets accounts and purchases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Integration {
    /// doorward sends requests to the service.
    Requests,
    /// doorward reads files that the service writes.
    Files,
}

struct IssuedKey {
    account: String,
    key: Key,
    over: bool,
}

#[derive(Default)]
struct Accounts {
    keys: Vec<IssuedKey>,
    /// Pairs of group and member. A seller is in the group of each reserved name, a purchaser in the group of each
    /// purchase.
    groups: BTreeSet<(String, String)>,
}

/// A latch that holds back responses.
#[derive(Default)]
struct Latch {
    shut: Mutex<(bool, usize)>,
    moved: Condvar,
}

#[derive(Clone)]
pub(super) struct MarketplaceService {
    integration: Integration,
    records: Arc<Mutex<Accounts>>,
    latch: Arc<Latch>,
}

impl MarketplaceService {
    pub(super) fn new(integration: Integration) -> Self {
        Self { integration, records: Arc::default(), latch: Arc::default() }
    }

    /// Creates a key and returns its secret, which is returned only once. The key has already expired if `over` is set.
    pub(super) fn key(&self, account: &str, name: &str, scope: &[&str], over: bool) -> String {
        let key = Key::new(account, name);
        let key = if scope.is_empty() { key } else { key.scope(scope) };
        let key = if over { key.with("expires", from_now(-60)) } else { key };
        let secret = self.shown(&key);
        self.records.lock().unwrap().keys.push(IssuedKey { account: account.to_owned(), key, over });
        secret
    }

    /// Returns the secret that the user gets. A service that receives requests has keys in a format of its own.
    fn shown(&self, key: &Key) -> String {
        match self.integration {
            Integration::Requests => key.secret.replacen("dwk_", "mk-", 1),
            Integration::Files => key.secret.clone(),
        }
    }

    /// Revokes a key and returns the account of its owner.
    pub(super) fn revoke(&self, secret: &str) -> String {
        let mut records = self.records.lock().unwrap();
        let at = records.keys.iter().position(|sold| self.shown(&sold.key) == secret).expect("such a key");
        records.keys.remove(at).account
    }

    /// Reserves a name for a seller. A name has only one owner and contains no dot.
    pub(super) fn reserve(&self, account: &str, name: &str) -> Result<(), &'static str> {
        let well = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.starts_with('-') || name.ends_with('-') || !name.bytes().all(well) {
            return Err("a name has small letters, digits and dashes between them");
        }
        let mut records = self.records.lock().unwrap();
        if records.groups.iter().any(|(group, _)| group == name) {
            return Err("it is taken");
        }
        records.groups.insert((name.to_owned(), account.to_owned()));
        Ok(())
    }

    pub(super) fn sell(&self, account: &str, offer: &str) {
        assert!(offer.contains('.'));
        self.records.lock().unwrap().groups.insert((offer.to_owned(), account.to_owned()));
    }

    pub(super) fn take_back(&self, account: &str, offer: &str) {
        let gone = self.records.lock().unwrap().groups.remove(&(offer.to_owned(), account.to_owned()));
        assert!(gone, "{account} had not bought {offer}");
    }

    /// Returns the group file.
    pub(super) fn groups_file(&self) -> String {
        let records = self.records.lock().unwrap();
        records.groups.iter().map(|(group, account)| format!("{group}: {account}\n")).collect()
    }

    /// Returns the API key file.
    pub(super) fn keys_file(&self) -> String {
        self.records.lock().unwrap().keys.iter().map(|sold| sold.key.line()).collect()
    }

    /// Answers a request of doorward. The account is looked up first, then the response waits for the latch.
    pub(super) fn answer(&self, call: &Call) -> Reply {
        assert_eq!((&call.method[..], &call.target[..]), ("POST", "/internal/key"));
        assert_eq!(call.header("x-internal-key"), INTERNAL);
        let reply = self.look_up(&call.json());
        let mut latch = self.latch.shut.lock().unwrap();
        latch.1 += 1;
        self.latch.moved.notify_all();
        drop(self.latch.moved.wait_while(latch, |latch| latch.0).unwrap());
        reply
    }

    fn look_up(&self, asked: &serde_json::Value) -> Reply {
        let records = self.records.lock().unwrap();
        let good = |sold: &&IssuedKey| !sold.over && asked["key"] == self.shown(&sold.key);
        let Some(sold) = records.keys.iter().find(good) else { return Reply::status(401) };
        let of = records.groups.iter().filter(|(_, account)| *account == sold.account);
        let (bought, sells): (Vec<&str>, Vec<&str>) =
            of.map(|(group, _)| &group[..]).partition(|group| group.contains('.'));
        Reply::json(json!({ "account": sold.account, "sells": sells, "bought": bought }))
    }

    /// Holds back all responses from now on.
    pub(super) fn shut(&self) {
        *self.latch.shut.lock().unwrap() = (true, 0);
    }

    /// Waits until a response is held back.
    pub(super) fn wait_for_held_response(&self) {
        let latch = self.latch.shut.lock().unwrap();
        let (latch, _) = self.latch.moved.wait_timeout_while(latch, PATIENCE, |latch| latch.1 == 0).unwrap();
        let waiting = latch.1 > 0;
        drop(latch);
        if !waiting {
            // Otherwise later requests would wait forever.
            self.open();
            panic!("nobody was asked");
        }
    }

    pub(super) fn open(&self) {
        self.latch.shut.lock().unwrap().0 = false;
        self.latch.moved.notify_all();
    }
}
