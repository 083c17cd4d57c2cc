//! Salts of crypt formats that nginx accepts (rlidwka/sinopia-htpasswd#8, verdaccio/verdaccio#203).

use std::process::Command;

use crate::support::doorward::Doorward;
use crate::support::oracle::OracleVerdict;
use crate::support::oracle::auth_basic::AuthBasic;
use crate::support::process::{program, run};
use crate::support::users;

const PASSWORD: &str = "open sesame";

/// Returns the hash of the password from crypt(3) of this machine.
fn crypt(setting: &str) -> Option<String> {
    let mut perl = Command::new(program("perl", "perl"));
    perl.args(["-e", "print crypt($ARGV[0], $ARGV[1])", PASSWORD, setting]);
    let hash = run(perl).stdout;
    // For a setting that it refuses, libxcrypt returns a text that begins with `*`.
    (hash.starts_with("$") && hash.len() > 20).then_some(hash)
}

/// Returns the hash from `openssl passwd`, which accepts any salt.
fn openssl(option: &str, salt: &str) -> String {
    let mut openssl = Command::new(program("openssl", "openssl"));
    openssl.args(["passwd", option, "-salt", salt, PASSWORD]);
    run(openssl).stdout.trim_end().to_owned()
}

/// Salts with every character that libxcrypt accepts, each of at most eight characters.
const SALTS: [&str; 18] = [
    "zAsH+/KR", "fsOzgw==", "", "a", "a+b", "-_-", "\"#%&'()", ",<>?@", "[]^_`", "{|}~", "=", "a=b", "@",
    "rounds", "ABCDEFGH", "./09AZaz", "++++++++", "a&b#c",
];

#[test]
fn salt_accepted_by_nginx_is_accepted_in_every_crypt_format_field_c3() {
    let mut lines = Vec::new();
    for magic in ["$1$", "$5$", "$6$", "$5$rounds=1000$", "$6$rounds=1234$"] {
        let long = ["zAsH+/KRfsOzgw==", "abcdefghijklmnop", "+=+=+=+=+=+=+=+="];
        let salts = SALTS.into_iter().chain(long.into_iter().filter(|_| magic != "$1$"));
        for salt in salts {
            let hash = crypt(&format!("{magic}{salt}$")).unwrap_or_else(|| panic!("{magic}{salt}"));
            lines.push(format!("{hash}:autocreated 2016-01-01T00:00:00.000Z"));
        }
    }
    lines.extend(SALTS.into_iter().filter(|salt| !salt.is_empty()).map(|salt| openssl("-apr1", salt)));
    let file: String = lines.iter().enumerate().map(|(n, line)| format!("u{n}:{line}\n")).collect();
    let nginx = AuthBasic::start();
    nginx.file("users", file.as_bytes());
    let bounds = ["--throttle-network-failures", "100000", "--throttle-user-failures", "1000"];
    let doorward = Doorward::start(&file, &bounds);
    for (n, line) in lines.iter().enumerate() {
        let (user, network) = (format!("u{n}"), format!("192.0.2.{n}"));
        assert_eq!(
            nginx.ask("users", user.as_bytes(), PASSWORD.as_bytes()),
            OracleVerdict::Accepts,
            "nginx: {line}"
        );
        assert_eq!(doorward.log_in(&user, PASSWORD, &network), 200, "{line}");
        assert_eq!(
            nginx.ask("users", user.as_bytes(), b"open sesam"),
            OracleVerdict::Refuses,
            "nginx: {line}"
        );
        assert_eq!(doorward.log_in(&user, "open sesam", &network), 401, "{line}");
    }
    assert!(lines.len() > 100, "{}", lines.len());
}

#[test]
fn salt_accepted_by_some_crypt_is_accepted_and_by_none_is_rejected_field_c3() {
    // libxcrypt refuses these salts. crypt(3) of musl and the $apr1$ of nginx accept them.
    for salt in ["a!b", "a*b", "a;b", "a\\b"] {
        assert_eq!(crypt(&format!("$6${salt}$")), None, "{salt}");
        for option in ["-1", "-5", "-6", "-apr1"] {
            let doorward = Doorward::start(&format!("alice:{}\n", openssl(option, salt)), &[]);
            assert_eq!(doorward.log_in("alice", PASSWORD, "192.0.2.1"), 200, "{option} {salt}");
            assert_eq!(doorward.log_in("alice", "wrong", "192.0.2.1"), 401, "{option} {salt}");
        }
    }
    // A salt that is too long, a leading zero in the rounds, too few and too many rounds, and a NUL.
    let digest = crypt("$6$abcdefghijklmnop$").unwrap().rsplit('$').next().unwrap().to_owned();
    for text in [
        format!("$6$abcdefghijklmnopq${digest}"),
        format!("$6$rounds=05000$abc${digest}"),
        format!("$6$rounds=999$abc${digest}"),
        format!("$6$rounds=1000001$abc${digest}"),
        format!("$6$rounds=$abc${digest}"),
        format!("$6$ab\0c${digest}"),
        format!("$6$abc${digest}$"),
        format!("$6$abc${}", &digest[1..]),
    ] {
        let doorward = Doorward::start(&(users::alice() + &format!("eve:{text}\n")), &[]);
        assert_eq!(doorward.log_in("eve", PASSWORD, "192.0.2.1"), 401, "{text}");
        assert_eq!(doorward.log_in("alice", "wonderland", "192.0.2.1"), 200, "{text}");
    }
}
