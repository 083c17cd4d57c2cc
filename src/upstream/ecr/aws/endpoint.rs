//! The endpoint of the ECR API: from a setting, or from the region by the endpoint rules of the AWS SDKs.

use reqwest::Url;

use super::AwsAccount;
use super::error::EcrError;

/// Maximum length of a region name, in bytes. The longest existing one has 15.
const REGION_BYTES_MAX: usize = 32;
/// Maximum length of any other setting, in bytes.
const SETTING_BYTES_MAX: usize = 2048;

/// The prefix of region names in each partition, the domain of its hosts, and the domain of its dual-stack hosts
/// (IPv4 and IPv6). From the partitions in aws-sdk-ecr 1.106. The first matching prefix is used; the last matches
/// every region.
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

/// Checks the settings of an account without calling AWS.
pub fn check_account(account: &AwsAccount) -> Result<(), EcrError> {
    let invalid_setting = |what: &str| Err(EcrError::InvalidSetting(what.to_owned()));
    let AwsAccount { region, profile, role_arn, external_id, endpoint } = account;
    for setting in [profile, role_arn, external_id].into_iter().flatten() {
        if setting.is_empty() || setting.len() > SETTING_BYTES_MAX || setting.chars().any(char::is_control) {
            return invalid_setting(
                "profile, role_arn and external_id: write 1 to 2048 characters without control characters, or omit the setting",
            );
        }
    }
    if let Some(region) = region {
        self::check_region(region)?;
    }
    if role_arn.as_ref().is_some_and(|arn| !arn.starts_with("arn:") || !arn.contains(":role/")) {
        return invalid_setting(
            "role_arn: write the ARN of the role, as in arn:aws:iam::123456789012:role/registry",
        );
    }
    if external_id.is_some() && role_arn.is_none() {
        return invalid_setting("external_id: it requires role_arn, which is missing");
    }
    if let Some(endpoint) = endpoint {
        self::parse_endpoint(endpoint)?;
    }
    Ok(())
}

/// Checks a region name, which becomes a part of a host name.
pub fn check_region(name: &str) -> Result<&str, EcrError> {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_alphanumeric = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    if bytes.len() <= REGION_BYTES_MAX
        && bytes.iter().all(|b| is_allowed(*b))
        && is_alphanumeric(bytes.first())
        && is_alphanumeric(bytes.last())
    {
        return Ok(name);
    }
    Err(EcrError::InvalidSetting("the region: write its name, as in eu-central-1".to_owned()))
}

/// Parses the URL of an endpoint setting.
pub fn parse_endpoint(url: &str) -> Result<Url, EcrError> {
    let invalid_setting = || {
        EcrError::InvalidSetting(
            "the endpoint: write the URL of the ECR API without credentials, as in \
             https://vpce-0abc-1def.api.ecr.eu-central-1.vpce.amazonaws.com"
                .to_owned(),
        )
    };
    if url.len() > SETTING_BYTES_MAX {
        return Err(invalid_setting());
    }
    let url = Url::parse(url).map_err(|_| invalid_setting())?;
    let is_bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.has_host();
    if is_bare && matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(invalid_setting()) }
}

/// Returns the URL of the API in a region. `fips` and `dual_stack` are the values of AWS_USE_FIPS_ENDPOINT and
/// AWS_USE_DUALSTACK_ENDPOINT, or of the profile.
pub fn regional_endpoint(region: &str, fips: bool, dual_stack: bool) -> Result<Url, EcrError> {
    let region = self::check_region(region)?;
    let (domain, dual_stack_domain) = PARTITION_SUFFIXES
        .iter()
        .find(|(prefix, ..)| region.starts_with(prefix))
        .map_or(("amazonaws.com", "api.aws"), |(_, domain, dual_stack_domain)| (domain, dual_stack_domain));
    let host = match (fips, dual_stack) {
        (false, false) => format!("api.ecr.{region}.{domain}"),
        (true, false) => format!("api.ecr-fips.{region}.{domain}"),
        (false, true) => format!("ecr.{region}.{dual_stack_domain}"),
        (true, true) => format!("ecr-fips.{region}.{dual_stack_domain}"),
    };
    parse_endpoint(&format!("https://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regional_endpoint_matches_the_aws_sdk() {
        let host =
            |region, fips, dual_stack| regional_endpoint(region, fips, dual_stack).unwrap().to_string();
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
