//! Parses the fields of a certificate that doorward needs: the public key and the expiry (RFC 5280 section 4.1).
//!
//! The parser is yasna, which rcgen uses to write certificates. x509-parser would add a dozen crates for these two
//! fields, and rustls-webpki does not return the expiry.

use yasna::tags::TAG_UTCTIME;
use yasna::{ASN1Result, BERReader, Tag};

/// A certificate, and its parsed fields.
pub(super) struct Certificate {
    /// The whole certificate (DER).
    pub(super) der: Vec<u8>,
    /// The public key with its algorithm (`SubjectPublicKeyInfo`, DER).
    pub(super) public_key_info: Vec<u8>,
    /// The last second of the validity period, since 1970. Registries reject tokens that the key signs later.
    pub(super) not_after: u64,
}

impl Certificate {
    /// Parses a certificate; returns `None` if it is malformed.
    pub(super) fn parse(der: &[u8]) -> Option<Self> {
        let (key, not_after) = yasna::parse_der(der, |reader| {
            reader.read_sequence(|reader| {
                let fields = reader.next().read_sequence(|reader| {
                    let version = Tag::context(0);
                    reader.read_optional(|version_reader| {
                        version_reader.read_tagged(version, |r| r.read_i64())
                    })?;
                    // The serial number, the algorithm and the issuer.
                    (0..3).try_for_each(|_| skip_element(reader.next()))?;
                    let not_after = reader.next().read_sequence(|reader| {
                        read_time(reader.next())?;
                        read_time(reader.next())
                    })?;
                    // The subject.
                    skip_element(reader.next())?;
                    let key = reader.next().read_der()?;
                    while reader.read_optional(skip_element)?.is_some() {}
                    Ok((key, not_after))
                })?;
                // The algorithm and the signature. They are not checked: the caller compares the public key.
                (0..2).try_for_each(|_| skip_element(reader.next()))?;
                Ok(fields)
            })
        })
        .ok()?;
        // A date before 1970 also means expired.
        Some(Self {
            der: der.to_vec(),
            public_key_info: key,
            not_after: u64::try_from(not_after).unwrap_or_default(),
        })
    }
}

fn skip_element(reader: BERReader<'_, '_>) -> ASN1Result<()> {
    reader.read_der().map(drop)
}

/// Parses a time, in seconds since 1970.
fn read_time(reader: BERReader<'_, '_>) -> ASN1Result<i64> {
    Ok(match reader.lookahead_tag()? {
        TAG_UTCTIME => reader.read_utctime()?.datetime().unix_timestamp(),
        _ => reader.read_generalized_time()?.datetime().unix_timestamp(),
    })
}
