//! Requests for tokens as clients write them, and as nobody should.

use super::*;

#[test]
fn a_query_is_read_as_clients_write_it() {
    let query = "account=ann&client_id=docker&offline_token=true&scope=repository%3Aa%3Apull&scope=repository:b:push&service=r.test";
    let asked = Asked::of_query(query).ok().unwrap();
    assert!(asked.check("r.test").is_ok() && asked.check("other").is_err() && !asked.is_form);
    let names: Vec<&str> = asked.scopes().unwrap().iter().map(|scope| scope.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(Asked::of_query("").ok().unwrap().check("any").is_ok());
    for twice in ["service=a&service=b", "account=a&account=a"] {
        assert!(Asked::of_query(twice).is_err());
    }
    assert!(Asked::of_query(&"x=1&".repeat(200)).is_err());
}

#[test]
fn an_account_is_that_of_the_credentials() {
    let asked = Asked::of_query("account=ann").ok().unwrap();
    // ann:x, bob:x, and what can't be read, which is refused elsewhere.
    assert!(asked.check_account(b"ann").is_ok());
    assert!(asked.check_account(b"bob").is_err());
    assert!(asked.check_account(b"").is_ok());
}

#[test]
fn a_form_is_basic_by_another_way() {
    let asked = Asked::of_form(b"grant_type=password&username=ann&password=a%26b%3Ac").ok().unwrap();
    let Grant::Password(basic) = &asked.grant else { panic!() };
    assert_eq!(&**basic, b"Basic YW5uOmEmYjpj");
    assert!(asked.is_form);
    for form in [&b"grant_type=password&username=ann"[..], b"username=a&password=b", b"grant_type=x", b""] {
        assert!(Asked::of_form(form).is_err());
    }
    let refresh = Asked::of_form(b"grant_type=refresh_token&refresh_token=x").ok().unwrap();
    assert!(matches!(refresh.grant, Grant::Refresh));
}

#[test]
fn credentials_in_a_query_are_refused_whatever_their_spelling() {
    for query in [
        "password=x",
        "service=a&username=ann",
        "username=",
        "Password=x",
        "pass%77ord=x",
        "scope=a&&+password=x",
        "refresh_token=x",
        "access_token=x",
        "client_secret=x",
    ] {
        assert!(no_secret(query).is_err(), "{query}");
    }
    for query in
        ["", "service=a&scope=repository:password:pull&account=ann", "client_id=x&offline_token=true"]
    {
        assert!(no_secret(query).is_ok(), "{query}");
    }
}
