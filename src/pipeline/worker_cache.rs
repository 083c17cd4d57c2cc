//! The worker cache: a reference to the cached answer for identical requests, one cache for each worker.
//!
//! A client that pulls an image sends the same `Authorization` header from the same address a hundred times. Decoding
//! it, looking up the user's line and deriving the cache keys costs several times as much as the rest of the
//! request. An entry contains no password. The header is stored as a keyed hash.
//!
//! An entry is used only if everything that it was derived from is unchanged. That is the header, the client
//! address, the generation of the local records and the number of flushes. The cached answer must be valid too.
//! If a condition does not hold, the request takes the full path. The throttle applies in both cases.

use std::sync::Arc;

use super::cache::CachedAnswer;
use super::cache_key::CacheKey;
use super::throttle::ThrottleKeys;

/// The number of entries of one worker, about 60 KiB. A replaced entry costs its next request the full path.
const ENTRIES_MAX: usize = 256;

/// The maximum length of the text of a client address: an IPv4 address written as IPv6.
const CLIENT_ADDRESS_MAX: usize = 45;

/// The version of the data that answers are derived from. An entry of another version is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheVersion {
    /// The generation of the local records, which each replacement of the htpasswd file changes.
    pub(crate) generation: u64,
    /// Number of flushes of the answer cache.
    pub(crate) flush_count: u64,
}

/// The cached answer of one request.
pub(crate) struct WorkerCacheEntry {
    header_hash: [u8; 32],
    client_address: ClientAddressText,
    version: CacheVersion,
    /// The index of the authenticator that would be called first.
    pub(crate) first_authenticator: usize,
    /// The tags by which the throttle and the queues count the client.
    pub(crate) throttle_keys: ThrottleKeys,
    /// The key of the answer in the answer cache.
    pub(crate) answer_key: CacheKey,
    /// The answer.
    pub(crate) answer: Arc<CachedAnswer>,
}

/// The values by which an identical request is recognized.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestFingerprint<'r> {
    /// The keyed hash of the `Authorization` header.
    pub(crate) header_hash: [u8; 32],
    /// The client address as the proxy sent it.
    pub(crate) client_address: &'r [u8],
    /// The version, read before the answer is derived.
    pub(crate) version: CacheVersion,
}

struct ClientAddressText {
    text: [u8; CLIENT_ADDRESS_MAX],
    length: usize,
}

impl ClientAddressText {
    fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }
}

/// The entries of one worker.
pub(crate) struct WorkerCache(Box<[Option<WorkerCacheEntry>]>);

impl Default for WorkerCache {
    fn default() -> Self {
        Self((0..ENTRIES_MAX).map(|_| None).collect())
    }
}

impl WorkerCache {
    fn slot_index(header_hash: &[u8; 32], client_address: &[u8]) -> usize {
        let start = header_hash.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let mix = |sum: u32, byte: &u8| sum.wrapping_mul(31).wrapping_add(u32::from(*byte));
        client_address.iter().fold(start, mix) as usize % ENTRIES_MAX
    }

    /// Returns the entry of an identical request, if its version is current.
    pub(crate) fn lookup(&self, fingerprint: &RequestFingerprint<'_>) -> Option<&WorkerCacheEntry> {
        let slot = Self::slot_index(&fingerprint.header_hash, fingerprint.client_address);
        let entry = self.0.get(slot)?.as_ref()?;
        let is_same = entry.header_hash == fingerprint.header_hash
            && entry.client_address.as_bytes() == fingerprint.client_address;
        (is_same && entry.version == fingerprint.version).then_some(entry)
    }

    /// Stores the answer of a request, and replaces the entry in its slot.
    pub(crate) fn insert(
        &mut self,
        fingerprint: &RequestFingerprint<'_>,
        first_authenticator: usize,
        throttle_keys: ThrottleKeys,
        answer_key: CacheKey,
        answer: Arc<CachedAnswer>,
    ) {
        let address = fingerprint.client_address;
        let mut client_address = ClientAddressText { text: [0; CLIENT_ADDRESS_MAX], length: address.len() };
        let Some(text) = client_address.text.get_mut(..address.len()) else { return };
        text.copy_from_slice(address);
        if let Some(slot) = self.0.get_mut(Self::slot_index(&fingerprint.header_hash, address)) {
            *slot = Some(WorkerCacheEntry {
                header_hash: fingerprint.header_hash,
                client_address,
                version: fingerprint.version,
                first_authenticator,
                throttle_keys,
                answer_key,
                answer,
            });
        }
    }
}
