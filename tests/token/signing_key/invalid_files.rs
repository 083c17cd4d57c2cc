//! Invalid signing key files and certificates.

use std::fs;

use doorward::internals::SigningKeys;

use super::{NAMES, SigningKeyFolder, genpkey, openssl};

fn parse_error(text: &str) -> String {
    SigningKeys::parse(text.as_bytes()).map(|keys| format!("{keys:?}")).unwrap_err().to_string()
}

/// Returns the PEM blocks of a file without comments.
fn blocks(text: &str) -> Vec<String> {
    text.split_inclusive("-----\n")
        .collect::<Vec<_>>()
        .chunks(2)
        .map(|pair| pair.concat())
        .map(|block| block[block.find("-----BEGIN").unwrap()..].to_owned())
        .collect()
}

#[test]
fn invalid_signing_key_file_is_reported_by_block() {
    let folder = SigningKeyFolder::new();
    folder.succeeds("add", &[]);
    let parts = blocks(&folder.text("keys.pem"));
    let [one, one_cert, two, two_cert] = &parts[..] else { panic!("{parts:?}") };
    assert!(SigningKeys::parse(parts.concat().as_bytes()).is_ok());
    let broken = |block: &str| block.replacen("\nM", "\n*", 1);
    let cut = |block: &str| {
        let lines: Vec<&str> = block.lines().collect();
        [&lines[..2], &lines[3..]].concat().join("\n") + "\n"
    };
    for (text, folder, why) in [
        (String::new(), "", "it contains no key; doorward signing-key init creates one"),
        ("{\"id\":\"x\"}\n".into(), "", "it contains no key"),
        (one.clone(), "block 1 (PRIVATE KEY, line 1): ", "no CERTIFICATE follows it"),
        (one.clone() + two + two_cert, "block 1 (PRIVATE KEY, line 1): ", "no CERTIFICATE follows it"),
        (one_cert.clone() + one, "block 1 (CERTIFICATE, line 1): ", "it does not follow a key"),
        (one.clone() + one_cert + two_cert, "block 3 (CERTIFICATE, ", "it does not follow a key"),
        (
            one.clone() + two_cert,
            "block 2 (CERTIFICATE, line 6): ",
            "not the certificate of the key before it",
        ),
        (one.clone() + one_cert + one + one_cert, "block 3 (PRIVATE KEY, ", "in the file already"),
        (broken(one) + one_cert, "block 1 (PRIVATE KEY, line 1): ", "not base64; copy the whole block again"),
        (
            one.clone() + &broken(one_cert),
            "block 2 (CERTIFICATE, line 6): ",
            "not base64; copy the whole block again",
        ),
        (cut(one) + one_cert, "block 1 (PRIVATE KEY, line 1): ", "it is not PKCS#8"),
        (one.clone() + &cut(one_cert), "block 2 (CERTIFICATE, ", "it is not a valid certificate"),
        (one.clone() + one, "block 1 (PRIVATE KEY, line 1): ", "no CERTIFICATE follows it"),
        (
            one.replace("-----END PRIVATE KEY-----\n", "") + one_cert,
            "line 5: ",
            "the block before it has no end",
        ),
        (one.clone() + &one_cert[..200], "line 6: ", "the block that starts here has no end"),
        (one.replace("END PRIVATE", "END PUBLIC"), "line 5: ", "another label than the BEGIN line"),
        (
            one.replace("BEGIN PRIVATE KEY-----", "BEGIN PRIVATE KEY"),
            "line 1: ",
            "does not end with five dashes",
        ),
        ("-----END CERTIFICATE-----".into(), "line 1: ", "a block ends here, but none has started"),
        (
            one.replace("PRIVATE KEY", "PUBLIC KEY"),
            "block 1 (PUBLIC KEY, line 1): ",
            "neither a PRIVATE KEY nor a CERTIFICATE; remove it",
        ),
    ] {
        let told = parse_error(&text);
        assert!(told.starts_with(folder) && told.contains(why), "{why}: {told}");
        let secret = one.lines().nth(1).unwrap();
        assert!(!told.contains(&secret[..8]), "{told}");
    }
    assert!(SigningKeys::parse(b"\xff\xfe").unwrap_err().to_string().contains("not UTF-8"));
}

#[test]
fn comments_blank_lines_and_crlf_are_accepted() {
    let folder = SigningKeyFolder::new();
    let text = folder.text("keys.pem");
    let kids = |text: &str| {
        let keys = SigningKeys::parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {text}"));
        keys.kids().map(str::to_owned).collect::<Vec<_>>()
    };
    for other in [
        text.replace('\n', "\r\n"),
        text.replace("-----BEGIN", "Bag Attributes\n  friendlyName: x\n\n-----BEGIN"),
        text.trim_end().to_owned(),
        format!("-----\n----- a head -----\n{text}\n-----\n"),
    ] {
        assert_eq!(kids(&other), folder.kids());
    }
}

/// Generates a private key of this kind with openssl.
fn made(folder: &SigningKeyFolder, name: &str) -> String {
    let path = folder.path(name);
    let text = path.display().to_string();
    match name {
        "p384" => genpkey(&path, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        "ed25519" => genpkey(&path, &["-algorithm", "ED25519"]),
        "rsa1024" => genpkey(&path, &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]),
        "rsa5120" => genpkey(&path, &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:5120"]),
        "pss" => genpkey(&path, &["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"]),
        "sec1" => openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &text]),
        "pkcs1" => openssl(&["genrsa", "-traditional", "-out", &text, "2048"]),
        "encrypted" => {
            genpkey(
                &path,
                &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes256", "-pass", "pass:x"],
            );
        }
        _ => {
            let explicit = ["-pkeyopt", "ec_param_enc:explicit"];
            genpkey(
                &path,
                &[&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], &explicit[..]].concat(),
            );
        }
    }
    text
}

#[test]
fn unsupported_own_key_is_refused_with_the_remedy() {
    for (kind, why) in [
        ("p384", "block 1 (PRIVATE KEY, line 1): it is neither a P-256 key nor an RSA key"),
        ("ed25519", "it is neither a P-256 key nor an RSA key"),
        ("pss", "it is neither a P-256 key nor an RSA key"),
        ("explicit", "it is neither a P-256 key nor an RSA key"),
        ("rsa1024", "it is an RSA key of fewer than 2048 bits; create one of 3072"),
        ("rsa5120", "it is an RSA key of more than 4096 bits; create one of 3072"),
        ("sec1", "convert it with openssl pkcs8 -topk8 -nocrypt -in FILE"),
        ("pkcs1", "(RSA PRIVATE KEY, line 1): it is a private key in an older format"),
        ("encrypted", "it is encrypted, and doorward has no password for it"),
    ] {
        let folder = SigningKeyFolder::empty();
        let path = made(&folder, kind);
        folder.refuses("init", &[&NAMES[..], &["--private-key", &path]].concat(), why);
    }
}

#[test]
fn suggested_conversion_of_an_older_key_format_works() {
    for kind in ["sec1", "pkcs1"] {
        let folder = SigningKeyFolder::empty();
        let path = made(&folder, kind);
        let new = folder.path("pkcs8").display().to_string();
        openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", &path, "-out", &new]);
        folder.succeeds("init", &["--private-key", &new]);
    }
}

#[test]
fn invalid_signing_key_arguments_are_refused() {
    let folder = SigningKeyFolder::empty();
    folder.refuses(
        "add",
        &[],
        "keys.pem: the file does not exist; create it with: doorward signing-key init",
    );
    folder.refuses("use", &["x"], "the file does not exist");
    folder.refuses("list", &[], "the file does not exist");
    folder.refuses(
        "init",
        &["--algorithm", "RS256"],
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072",
    );
    for (flag, value, why) in [
        ("--service", "", "1 to 255 visible ASCII"),
        ("--service", "two words", "1 to 255 visible ASCII"),
        ("--service", "a\"b", "quotes"),
        ("--issuer", "a\nb", "1 to 255"),
        ("--realm", "registry.test/token", "must be a URL such as https://"),
        ("--realm", "ftp://registry.test/", "must be a URL"),
    ] {
        folder.refuses("init", &[flag, value], why);
        assert!(folder.names().is_empty(), "{flag} {value}");
    }
    let missing = folder.path("none/keys.pem").display().to_string();
    let output = crate::support::doorward::doorward(&["signing-key", "init", "--signing-keys", &missing]);
    assert!(output.code == Some(1) && output.stderr.contains("create it: mkdir -p "), "{output:?}");
    let path = made(&folder, "p256-sec1").replace("p256-sec1", "none");
    folder.refuses("init", &["--private-key", &path], "--private-key: ");
    let output = folder.run("init", &["--algorithm", "HS256"]);
    assert!(output.code == Some(2) && output.stderr.contains("ES256"), "{output:?}");
    let folder = SigningKeyFolder::new();
    let path = folder.path("own");
    genpkey(&path, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    let own = path.display().to_string();
    folder.refuses(
        "add",
        &["--algorithm", "RS256", "--private-key", &own],
        "the key is for ES256, not for RS256",
    );
    let both = folder.path("keys.pem").display().to_string();
    folder.refuses(
        "add",
        &["--private-key", &both],
        "block 2 (CERTIFICATE, line 7): the file of a key to add must contain nothing else",
    );
    folder.refuses(
        "use",
        &["nobody"],
        "it contains no key with this ID; doorward signing-key list shows the IDs",
    );
    folder.refuses("remove", &["nobody"], "it contains no key with this ID");
    fs::write(folder.path("keys.pem"), "{}\n").unwrap();
    folder.refuses(
        "add",
        &[],
        "it contains no key; doorward signing-key init creates one; nothing was changed",
    );
    folder.refuses("use", &["x"], "nothing was changed");
}
