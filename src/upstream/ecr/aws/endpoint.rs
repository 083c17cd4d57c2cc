//! Where ECR's API is: by region, as the endpoint rules of AWS's SDKs say, or where an endpoint is named.

use reqwest::Url;

use super::{AwsAccount, EcrError};

/// The most bytes of a region's name, of which the longest today has 15; and of any other setting.
const REGION_BYTES_MAX: usize = 32;
const SETTING_BYTES_MAX: usize = 2048;

/// What the regions whose names begin so have behind their name: the usual suffix, and that of hosts with IPv4
/// and IPv6. From the partitions in aws-sdk-ecr 1.106; the first that fits counts, and the last fits all.
const PARTITION_SUFFIXES: [(&str, &str, &str); 8] = [
    ("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    ("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    ("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    ("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    ("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    ("us-gov-", "amazonaws.com", "api.aws"),
    ("", "amazonaws.com", "api.aws"),
];

/// Checks what can be checked of the settings without asking anybody.
pub fn check_account(account: &AwsAccount) -> Result<(), EcrError> {
    let fault = |what: &str| Err(EcrError::InvalidSetting(what.to_owned()));
    let AwsAccount { region, profile, role_arn, external_id, endpoint } = account;
    for setting in [profile, role_arn, external_id].into_iter().flatten() {
        if setting.is_empty() || setting.len() > SETTING_BYTES_MAX || setting.chars().any(char::is_control) {
            return fault("profile, role_arn and external_id: write 1 to 2048 characters, or leave them out");
        }
    }
    if let Some(region) = region {
        self::check_region(region)?;
    }
    if role_arn.as_ref().is_some_and(|arn| !arn.starts_with("arn:") || !arn.contains(":role/")) {
        return fault("role_arn: write the role's ARN, as in arn:aws:iam::123456789012:role/registry");
    }
    if external_id.is_some() && role_arn.is_none() {
        return fault("external_id: it goes with role_arn, which is missing");
    }
    if let Some(endpoint) = endpoint {
        self::parse_endpoint(endpoint)?;
    }
    Ok(())
}

/// A region's name that may become part of a host's.
pub fn check_region(name: &str) -> Result<&str, EcrError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    if bytes.len() <= REGION_BYTES_MAX
        && bytes.iter().all(|b| plain(*b))
        && edge(bytes.first())
        && edge(bytes.last())
    {
        return Ok(name);
    }
    Err(EcrError::InvalidSetting("the region: write its name, as in eu-central-1".to_owned()))
}

/// The URL that an endpoint setting names.
pub fn parse_endpoint(url: &str) -> Result<Url, EcrError> {
    let fault = || {
        EcrError::InvalidSetting(
            "the endpoint: write the URL of ECR's API without credentials, as in \
             https://vpce-0abc-1def.api.ecr.eu-central-1.vpce.amazonaws.com"
                .to_owned(),
        )
    };
    if url.len() > SETTING_BYTES_MAX {
        return Err(fault());
    }
    let url = Url::parse(url).map_err(|_| fault())?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.has_host();
    if bare && matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(fault()) }
}

/// The URL of a region's API. `fips` and `dual_stack` are what AWS_USE_FIPS_ENDPOINT and
/// AWS_USE_DUALSTACK_ENDPOINT, or the profile, ask for.
pub fn regional_endpoint(region: &str, fips: bool, dual_stack: bool) -> Result<Url, EcrError> {
    let region = self::check_region(region)?;
    let (usual, both) = PARTITION_SUFFIXES
        .iter()
        .find(|(prefix, ..)| region.starts_with(prefix))
        .map_or(("amazonaws.com", "api.aws"), |(_, usual, both)| (usual, both));
    let host = match (fips, dual_stack) {
        (false, false) => format!("api.ecr.{region}.{usual}"),
        (true, false) => format!("api.ecr-fips.{region}.{usual}"),
        (false, true) => format!("ecr.{region}.{both}"),
        (true, true) => format!("ecr-fips.{region}.{both}"),
    };
    parse_endpoint(&format!("https://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regional_endpoint_matches_the_aws_sdk() {
        let host = |region, fips, both| regional_endpoint(region, fips, both).unwrap().to_string();
        assert_eq!(host("eu-central-1", false, false), "https://api.ecr.eu-central-1.amazonaws.com/");
        assert_eq!(host("us-gov-west-1", true, false), "https://api.ecr-fips.us-gov-west-1.amazonaws.com/");
        assert_eq!(host("us-east-1", false, true), "https://ecr.us-east-1.api.aws/");
        assert_eq!(host("us-east-1", true, true), "https://ecr-fips.us-east-1.api.aws/");
        assert_eq!(host("cn-north-1", false, false), "https://api.ecr.cn-north-1.amazonaws.com.cn/");
        assert_eq!(host("us-iso-east-1", false, false), "https://api.ecr.us-iso-east-1.c2s.ic.gov/");
        assert_eq!(host("us-isob-east-1", false, false), "https://api.ecr.us-isob-east-1.sc2s.sgov.gov/");
        assert_eq!(host("us-isof-south-1", false, false), "https://api.ecr.us-isof-south-1.csp.hci.ic.gov/");
        assert_eq!(host("eu-isoe-west-1", false, false), "https://api.ecr.eu-isoe-west-1.cloud.adc-e.uk/");
        assert_eq!(host("eusc-de-east-1", false, false), "https://api.ecr.eusc-de-east-1.amazonaws.eu/");
    }

    #[test]
    fn region_name_cannot_name_another_host() {
        for bad in ["", "-", "eu-central-1.evil.example", "a/b", "EU-CENTRAL-1", "eu@x", "é", &"a".repeat(33)]
        {
            assert!(check_region(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn endpoint_other_than_a_bare_url_is_rejected() {
        for bad in
            ["", "api.ecr.example", "ftp://a/", "https://u:p@a/", "https://a/?b", "https://a/#b", "unix:/a"]
        {
            assert!(parse_endpoint(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_endpoint("https://a:443").unwrap().as_str(), "https://a/");
        assert!(parse_endpoint("http://127.0.0.1:4566").is_ok());
    }

    #[test]
    fn invalid_account_setting_is_rejected_with_a_remedy() {
        let role = |arn: &str| AwsAccount { role_arn: Some(arn.into()), ..AwsAccount::default() };
        assert!(check_account(&role("arn:aws-cn:iam::123456789012:role/a/b")).is_ok());
        assert!(check_account(&role("registry")).is_err());
        let id = AwsAccount { external_id: Some("x".into()), ..AwsAccount::default() };
        assert!(check_account(&id).unwrap_err().to_string().contains("role_arn, which is missing"));
        let profile = AwsAccount { profile: Some(String::new()), ..AwsAccount::default() };
        assert!(check_account(&profile).is_err());
        assert!(check_account(&AwsAccount::default()).is_ok());
    }
}
