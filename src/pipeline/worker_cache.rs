//! Each worker's memo: where the answer to an identical request lies.
//!
//! A client that pulls an image sends the same `Authorization` from the same address a hundred
//! times. Decoding it, finding the user's line and naming the question costs several times what is
//! left if one remembers which cached answer that led to. A note holds no password: the header is
//! known by its keyed hash.
//!
//! A note is a shortcut and never a source. It counts only while everything that it was derived
//! from is as it was: the same header and client, the same state of the local records, no flush
//! since, the answer not idle for too long. The throttle is asked all the same. Where one of these
//! fails, the request takes the long way.

use std::sync::Arc;

use super::cache::CachedAnswer;
use super::cache_key::CacheKey;
use super::throttle::ThrottleKeys;

/// Notes of one worker; about 60 KiB. A note that is overwritten costs the long way once.
const ENTRIES_MAX: usize = 256;

/// The longest text of a client's address: an IPv4 address written as IPv6.
const CLIENT_ADDRESS_MAX: usize = 45;

/// The state of what answers are derived from. Another one makes every older note worthless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheVersion {
    /// How often the local records were replaced.
    pub records_version: u64,
    /// How often the cache was flushed.
    pub flush_count: u64,
}

/// What one request led to.
pub struct WorkerCacheEntry {
    header_hash: [u8; 32],
    client_address: ClientAddressText,
    version: CacheVersion,
    /// Who would be asked first.
    pub first_authenticator: usize,
    /// Whom the throttle and the queues count it by.
    pub throttle_keys: ThrottleKeys,
    /// The answer's name.
    pub answer_key: CacheKey,
    /// The answer.
    pub answer: Arc<CachedAnswer>,
}

/// How a request is known again.
#[derive(Clone, Copy, Debug)]
pub struct RequestFingerprint<'r> {
    /// The keyed hash of its `Authorization`.
    pub header_hash: [u8; 32],
    /// Its client's address, as nginx wrote it.
    pub client_address: &'r [u8],
    /// Read before anything was derived from it.
    pub version: CacheVersion,
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

/// The notes of one worker.
pub struct WorkerCache(Box<[Option<WorkerCacheEntry>]>);

impl Default for WorkerCache {
    fn default() -> Self {
        Self((0..ENTRIES_MAX).map(|_| None).collect())
    }
}

impl WorkerCache {
    fn slot_index(header: &[u8; 32], client: &[u8]) -> usize {
        let start = header.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let mix = |sum: u32, byte: &u8| sum.wrapping_mul(31).wrapping_add(u32::from(*byte));
        client.iter().fold(start, mix) as usize % ENTRIES_MAX
    }

    /// The note of an identical request, if everything it was derived from is as it was.
    pub fn lookup(&self, sight: &RequestFingerprint<'_>) -> Option<&WorkerCacheEntry> {
        let note = self.0.get(Self::slot_index(&sight.header_hash, sight.client_address))?.as_ref()?;
        let same =
            note.header_hash == sight.header_hash && note.client_address.as_bytes() == sight.client_address;
        (same && note.version == sight.version).then_some(note)
    }

    /// Notes what a request led to, over the note that has its place.
    pub fn insert(
        &mut self,
        sight: &RequestFingerprint<'_>,
        entrance: usize,
        tags: ThrottleKeys,
        key: CacheKey,
        answer: Arc<CachedAnswer>,
    ) {
        let mut client =
            ClientAddressText { text: [0; CLIENT_ADDRESS_MAX], length: sight.client_address.len() };
        let Some(text) = client.text.get_mut(..sight.client_address.len()) else { return };
        text.copy_from_slice(sight.client_address);
        if let Some(place) = self.0.get_mut(Self::slot_index(&sight.header_hash, sight.client_address)) {
            *place = Some(WorkerCacheEntry {
                header_hash: sight.header_hash,
                client_address: client,
                version: sight.version,
                first_authenticator: entrance,
                throttle_keys: tags,
                answer_key: key,
                answer,
            });
        }
    }
}
