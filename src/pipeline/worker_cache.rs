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

use super::cache::Accepted;
use super::cache_key::CacheKey;
use super::throttle::Tags;

/// Notes of one worker; about 60 KiB. A note that is overwritten costs the long way once.
const SLOTS: usize = 256;

/// The longest text of a client's address: an IPv4 address written as IPv6.
const CLIENT_MAX: usize = 45;

/// The state of what answers are derived from. Another one makes every older note worthless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// How often the local records were replaced.
    pub records: u64,
    /// How often the cache was flushed.
    pub flushes: u64,
}

/// What one request led to.
pub struct Note {
    header: [u8; 32],
    client: ClientText,
    state: State,
    /// Who would be asked first.
    pub entrance: usize,
    /// Whom the throttle and the queues count it by.
    pub tags: Tags,
    /// The answer's name.
    pub key: CacheKey,
    /// The answer.
    pub answer: Arc<Accepted>,
}

/// How a request is known again.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'r> {
    /// The keyed hash of its `Authorization`.
    pub header: [u8; 32],
    /// Its client's address, as nginx wrote it.
    pub client: &'r [u8],
    /// Read before anything was derived from it.
    pub state: State,
}

struct ClientText {
    text: [u8; CLIENT_MAX],
    length: usize,
}

impl ClientText {
    fn bytes(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }
}

/// The notes of one worker.
pub struct Memo(Box<[Option<Note>]>);

impl Default for Memo {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| None).collect())
    }
}

impl Memo {
    fn slot(header: &[u8; 32], client: &[u8]) -> usize {
        let start = header.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let mix = |sum: u32, byte: &u8| sum.wrapping_mul(31).wrapping_add(u32::from(*byte));
        client.iter().fold(start, mix) as usize % SLOTS
    }

    /// The note of an identical request, if everything it was derived from is as it was.
    pub fn find(&self, sight: &Sight<'_>) -> Option<&Note> {
        let note = self.0.get(Self::slot(&sight.header, sight.client))?.as_ref()?;
        let same = note.header == sight.header && note.client.bytes() == sight.client;
        (same && note.state == sight.state).then_some(note)
    }

    /// Notes what a request led to, over the note that has its place.
    pub fn write(
        &mut self,
        sight: &Sight<'_>,
        entrance: usize,
        tags: Tags,
        key: CacheKey,
        answer: Arc<Accepted>,
    ) {
        let mut client = ClientText { text: [0; CLIENT_MAX], length: sight.client.len() };
        let Some(text) = client.text.get_mut(..sight.client.len()) else { return };
        text.copy_from_slice(sight.client);
        if let Some(place) = self.0.get_mut(Self::slot(&sight.header, sight.client)) {
            *place =
                Some(Note { header: sight.header, client, state: sight.state, entrance, tags, key, answer });
        }
    }
}
