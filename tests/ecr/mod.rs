//! Amazon ECR as the upstream: nginx in front of it, and the fetching of its tokens from AWS.

#[cfg(feature = "ecr")]
mod aws;
#[cfg(feature = "ecr")]
mod aws_outage;
pub(crate) mod nginx;
#[cfg(feature = "ecr")]
mod simulated_days;
