//! Token requests of real clients, and malformed ones.

use super::*;

#[test]
fn query_with_client_parameters_is_parsed_and_repeated_ones_are_rejected() {
    let query = "account=ann&client_id=docker&offline_token=true&scope=repository%3Aa%3Apull&scope=repository:b:push&service=r.test";
    let request = TokenRequest::from_query(query).ok().unwrap();
    assert!(
        request.check_service("r.test").is_ok()
            && request.check_service("other").is_err()
            && !request.is_form
    );
    let names: Vec<&str> = request.scopes().unwrap().iter().map(|scope| scope.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(TokenRequest::from_query("").ok().unwrap().check_service("any").is_ok());
    for twice in ["service=a&service=b", "account=a&account=a"] {
        assert!(TokenRequest::from_query(twice).is_err());
    }
    assert!(TokenRequest::from_query(&"x=1&".repeat(200)).is_err());
}

#[test]
fn account_must_match_the_user_of_the_credentials() {
    let request = TokenRequest::from_query("account=ann").ok().unwrap();
    // An empty user means unreadable credentials, which are rejected elsewhere.
    assert!(request.check_account(b"ann").is_ok());
    assert!(request.check_account(b"bob").is_err());
    assert!(request.check_account(b"").is_ok());
}

#[test]
fn password_form_is_converted_to_basic_credentials() {
    let request =
        TokenRequest::from_form(b"grant_type=password&username=ann&password=a%26b%3Ac").ok().unwrap();
    let GrantType::Password(basic) = &request.grant_type else { panic!() };
    assert_eq!(&**basic, b"Basic YW5uOmEmYjpj");
    assert!(request.is_form);
    for form in [&b"grant_type=password&username=ann"[..], b"username=a&password=b", b"grant_type=x", b""] {
        assert!(TokenRequest::from_form(form).is_err());
    }
    let refresh = TokenRequest::from_form(b"grant_type=refresh_token&refresh_token=x").ok().unwrap();
    assert!(matches!(refresh.grant_type, GrantType::RefreshToken));
}

#[test]
fn credentials_in_query_are_rejected_in_any_spelling() {
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
        assert!(check_no_secrets(query).is_err(), "{query}");
    }
    for query in
        ["", "service=a&scope=repository:password:pull&account=ann", "client_id=x&offline_token=true"]
    {
        assert!(check_no_secrets(query).is_ok(), "{query}");
    }
}
