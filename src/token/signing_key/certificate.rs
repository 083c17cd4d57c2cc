//! What is read of a certificate: whose key it is, and until when it counts (RFC 5280 section 4.1).
//!
//! Read with yasna, which writes certificates for rcgen and so is in the tree: x509-parser brings a dozen
//! crates for these two fields, and rustls-webpki does not tell the second.

use yasna::tags::TAG_UTCTIME;
use yasna::{ASN1Result, BERReader, Tag};

/// See the top of this file.
pub(super) struct Certificate {
    /// All of it (DER).
    pub(super) der: Vec<u8>,
    /// The public key with its algorithm (`SubjectPublicKeyInfo`, DER).
    pub(super) public_key_info: Vec<u8>,
    /// The last second at which it counts, since 1970; registries refuse what is signed with its key later.
    pub(super) not_after: u64,
}

impl Certificate {
    /// Reads one; `None` if it is none.
    pub(super) fn parse(der: &[u8]) -> Option<Self> {
        let (key, ends) = yasna::parse_der(der, |reader| {
            reader.read_sequence(|reader| {
                let read = reader.next().read_sequence(|reader| {
                    let version = Tag::context(0);
                    reader.read_optional(|version_reader| {
                        version_reader.read_tagged(version, |r| r.read_i64())
                    })?;
                    // The number, the algorithm and the issuer.
                    (0..3).try_for_each(|_| skip_element(reader.next()))?;
                    let ends = reader.next().read_sequence(|reader| {
                        read_time(reader.next())?;
                        read_time(reader.next())
                    })?;
                    // The subject.
                    skip_element(reader.next())?;
                    let key = reader.next().read_der()?;
                    while reader.read_optional(skip_element)?.is_some() {}
                    Ok((key, ends))
                })?;
                // The algorithm again, and the signature: it is its own, or one that nobody here can check.
                (0..2).try_for_each(|_| skip_element(reader.next()))?;
                Ok(read)
            })
        })
        .ok()?;
        // Before 1970 is over as well.
        Some(Self {
            der: der.to_vec(),
            public_key_info: key,
            not_after: u64::try_from(ends).unwrap_or_default(),
        })
    }
}

fn skip_element(reader: BERReader<'_, '_>) -> ASN1Result<()> {
    reader.read_der().map(drop)
}

/// In seconds since 1970.
fn read_time(reader: BERReader<'_, '_>) -> ASN1Result<i64> {
    Ok(match reader.lookahead_tag()? {
        TAG_UTCTIME => reader.read_utctime()?.datetime().unix_timestamp(),
        _ => reader.read_generalized_time()?.datetime().unix_timestamp(),
    })
}
