//! Which attributes of each detector are added.

use serde::Deserialize;

use crate::detector::Switches;

/// Whether one attribute is added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AttributeConfig {
    /// As the attribute's own default where it is not written.
    pub enabled: Option<bool>,
}

/// Declares the switches of a detector: field, attribute, whether it is on by default.
macro_rules! attributes {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $key:literal = $on:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $(
                #[doc = concat!("`", $key, "`")]
                #[serde(rename = $key)]
                pub $field: AttributeConfig,
            )*
        }

        impl Switches for $name {
            fn is_on(&self, attribute: &str) -> bool {
                match attribute {
                    $($key => self.$field.enabled.unwrap_or($on),)*
                    _ => false,
                }
            }
        }
    };
}

attributes! {
    /// `system::resource_attributes`.
    SystemAttributes {
        host_name: "host.name" = true,
        os_type: "os.type" = true,
        os_description: "os.description" = false,
        os_name: "os.name" = false,
        os_version: "os.version" = false,
        os_build_id: "os.build.id" = false,
        host_id: "host.id" = false,
        host_arch: "host.arch" = false,
        host_ip: "host.ip" = false,
        host_mac: "host.mac" = false,
        host_interface: "host.interface" = false,
        host_cpu_vendor_id: "host.cpu.vendor.id" = false,
        host_cpu_family: "host.cpu.family" = false,
        host_cpu_model_id: "host.cpu.model.id" = false,
        host_cpu_model_name: "host.cpu.model.name" = false,
        host_cpu_stepping: "host.cpu.stepping" = false,
        host_cpu_cache_l2_size: "host.cpu.cache.l2.size" = false,
    }
}

attributes! {
    /// `ec2::resource_attributes`.
    Ec2Attributes {
        cloud_provider: "cloud.provider" = true,
        cloud_platform: "cloud.platform" = true,
        cloud_region: "cloud.region" = true,
        cloud_account_id: "cloud.account.id" = true,
        cloud_availability_zone: "cloud.availability_zone" = true,
        host_id: "host.id" = true,
        host_image_id: "host.image.id" = true,
        host_type: "host.type" = true,
        host_name: "host.name" = true,
    }
}

attributes! {
    /// `ecs::resource_attributes`.
    EcsAttributes {
        cloud_provider: "cloud.provider" = true,
        cloud_platform: "cloud.platform" = true,
        cloud_region: "cloud.region" = true,
        cloud_account_id: "cloud.account.id" = true,
        cloud_availability_zone: "cloud.availability_zone" = true,
        cluster_arn: "aws.ecs.cluster.arn" = true,
        launchtype: "aws.ecs.launchtype" = true,
        task_arn: "aws.ecs.task.arn" = true,
        task_family: "aws.ecs.task.family" = true,
        task_id: "aws.ecs.task.id" = true,
        task_revision: "aws.ecs.task.revision" = true,
        log_group_arns: "aws.log.group.arns" = true,
        log_group_names: "aws.log.group.names" = true,
        log_stream_arns: "aws.log.stream.arns" = true,
        log_stream_names: "aws.log.stream.names" = true,
    }
}

attributes! {
    /// `eks::resource_attributes`.
    EksAttributes {
        cloud_provider: "cloud.provider" = true,
        cloud_platform: "cloud.platform" = true,
        cloud_region: "cloud.region" = false,
        cloud_account_id: "cloud.account.id" = false,
        cloud_availability_zone: "cloud.availability_zone" = false,
        host_id: "host.id" = false,
        host_image_id: "host.image.id" = false,
        host_type: "host.type" = false,
        host_name: "host.name" = false,
        k8s_cluster_name: "k8s.cluster.name" = false,
    }
}

attributes! {
    /// `lambda::resource_attributes`.
    LambdaAttributes {
        cloud_provider: "cloud.provider" = true,
        cloud_platform: "cloud.platform" = true,
        cloud_region: "cloud.region" = true,
        faas_name: "faas.name" = true,
        faas_version: "faas.version" = true,
        faas_instance: "faas.instance" = true,
        faas_max_memory: "faas.max_memory" = true,
        log_group_names: "aws.log.group.names" = true,
        log_stream_names: "aws.log.stream.names" = true,
    }
}

attributes! {
    /// `elasticbeanstalk::resource_attributes`.
    BeanstalkAttributes {
        cloud_provider: "cloud.provider" = true,
        cloud_platform: "cloud.platform" = true,
        deployment_environment: "deployment.environment" = true,
        service_instance_id: "service.instance.id" = true,
        service_version: "service.version" = true,
    }
}

attributes! {
    /// `k8s_api::resource_attributes`.
    KubernetesAttributes {
        k8s_cluster_uid: "k8s.cluster.uid" = true,
        k8s_node_name: "k8s.node.name" = true,
        k8s_node_uid: "k8s.node.uid" = true,
    }
}
