//! What this distribution is made of: one line per component.

use component::Registry;

/// The factories of all components.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.receiver(awscontainerinsightreceiver::factory()).receiver(otlpreceiver::factory());
    registry
        .processor(attributesprocessor::factory())
        .processor(batchprocessor::factory())
        .processor(k8sattributesprocessor::factory())
        .processor(memorylimiterprocessor::factory())
        .processor(filterprocessor::factory())
        .processor(transformprocessor::factory())
        .processor(metricstransformprocessor::factory())
        .processor(deltatorateprocessor::factory())
        .processor(metricsgenerationprocessor::factory())
        .processor(probabilisticsamplerprocessor::factory())
        .processor(groupbyattrsprocessor::factory())
        .processor(cumulativetodeltaprocessor::factory())
        .processor(ec2taggerprocessor::factory())
        .processor(k8sdecoratorprocessor::factory())
        .processor(resourcedetectionprocessor::factory())
        .processor(resourceprocessor::factory());
    registry
        .exporter(awscloudwatchlogsexporter::factory())
        .exporter(awsemfexporter::factory())
        .exporter(debugexporter::factory())
        .exporter(nopexporter::factory())
        .exporter(otlpexporter::factory())
        .exporter(otlphttpexporter::factory());
    registry.extension(filestorageextension::factory()).extension(healthcheckextension::factory());
    registry
}
