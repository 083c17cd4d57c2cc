//! Amazon ECR as the upstream.

#[cfg(feature = "ecr")]
mod aws;
#[cfg(feature = "ecr")]
mod aws_outage;
pub(crate) mod nginx;
