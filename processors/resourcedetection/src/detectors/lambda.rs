//! `lambda`: the function that the collector runs in.

use std::sync::Arc;

use async_trait::async_trait;

use crate::config::LambdaConfig;
use crate::detector::{Detector, Findings};
use crate::error::Error;
use crate::sources::Sources;

/// The detector.
pub(crate) struct Lambda {
    pub(crate) config: LambdaConfig,
    pub(crate) sources: Arc<dyn Sources>,
}

#[async_trait]
impl Detector for Lambda {
    async fn detect(&self, found: &mut Findings) -> Result<(), Error> {
        let variable = |name: &str| self.sources.variable(name).unwrap_or_default();
        let name = variable("AWS_LAMBDA_FUNCTION_NAME");
        if name.is_empty() {
            return Ok(());
        }
        let on = &self.config.resource_attributes;
        found.begin();
        found.set(on, "cloud.provider", "aws");
        found.set(on, "cloud.platform", "aws_lambda");
        found.set_text(on, "cloud.region", &variable("AWS_REGION"));
        found.set(on, "faas.name", name);
        found.set_text(on, "faas.version", &variable("AWS_LAMBDA_FUNCTION_VERSION"));
        let (group, stream) = (variable("AWS_LAMBDA_LOG_GROUP_NAME"), variable("AWS_LAMBDA_LOG_STREAM_NAME"));
        found.set_text(on, "faas.instance", &stream);
        found.set_text(on, "faas.max_memory", &variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"));
        let list = |text: String| Some(text).filter(|text| !text.is_empty()).into_iter().collect();
        found.set_list(on, "aws.log.group.names", list(group));
        found.set_list(on, "aws.log.stream.names", list(stream));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Detect as _, Fake, shown};

    #[tokio::test]
    async fn a_function() {
        let fake = Fake::default()
            .with_variable("AWS_LAMBDA_FUNCTION_NAME", "f")
            .with_variable("AWS_REGION", "us-west-2")
            .with_variable("AWS_LAMBDA_FUNCTION_VERSION", "7")
            .with_variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .with_variable("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f")
            .with_variable("AWS_LAMBDA_LOG_STREAM_NAME", "s");
        let found =
            Lambda { config: LambdaConfig::default(), sources: Arc::new(fake) }.found().await.unwrap();
        assert_eq!(
            shown(&found),
            [
                "cloud.provider=aws",
                "cloud.platform=aws_lambda",
                "cloud.region=us-west-2",
                "faas.name=f",
                "faas.version=7",
                "faas.instance=s",
                "faas.max_memory=128",
                "aws.log.group.names=[/aws/lambda/f]",
                "aws.log.stream.names=[s]",
            ]
        );
        assert_eq!(found.schema_url, crate::detector::SCHEMA_URL);
    }

    #[tokio::test]
    async fn another_platform() {
        for fake in [Fake::default(), Fake::default().with_variable("AWS_LAMBDA_FUNCTION_NAME", "")] {
            let found =
                Lambda { config: LambdaConfig::default(), sources: Arc::new(fake) }.found().await.unwrap();
            assert!(found.attributes.is_empty() && found.schema_url.is_empty());
        }
    }
}
