//! What EC2's answers say.

use super::xml::{XmlError, read};
use super::{Instance, Tag, Volume};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Names the next page; none with the last one.
    pub next_token: Option<String>,
}

/// What an answer says that is a refusal. Both may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// `UnauthorizedOperation`
    pub code: String,
    /// The same in words.
    pub message: String,
}

/// Why an answer is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It is not XML.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// It is not text.
    #[error("not UTF-8")]
    Text(#[from] std::str::Utf8Error),
    /// It is the answer to something else.
    #[error("the answer is {0:?}, which was not asked for")]
    Other(String),
}

/// The answer to `DescribeTags`.
///
/// # Errors
/// It is not one.
pub fn tags(body: &[u8]) -> Result<Page<Tag>, AnswerError> {
    let mut tag = Tag::default();
    page(body, "DescribeTagsResponse", |path, text, tags| match path {
        ["tagSet", "item", "key"] => text.clone_into(&mut tag.key),
        ["tagSet", "item", "value"] => text.clone_into(&mut tag.value),
        ["tagSet", "item"] => tags.push(std::mem::take(&mut tag)),
        _ => {}
    })
}

/// The answer to `DescribeVolumes`: the attachments to an instance.
///
/// # Errors
/// It is not one.
pub fn volumes(body: &[u8], instance_id: &str) -> Result<Page<Volume>, AnswerError> {
    let (mut id, mut zone) = (String::new(), String::new());
    let (mut attached_to, mut device) = (String::new(), String::new());
    let mut devices = Vec::new();
    page(body, "DescribeVolumesResponse", |path, text, volumes| match path {
        ["volumeSet", "item", "volumeId"] => text.clone_into(&mut id),
        ["volumeSet", "item", "availabilityZone"] => text.clone_into(&mut zone),
        ["volumeSet", "item", "attachmentSet", "item", "instanceId"] => text.clone_into(&mut attached_to),
        ["volumeSet", "item", "attachmentSet", "item", "device"] => text.clone_into(&mut device),
        ["volumeSet", "item", "attachmentSet", "item"] => {
            let device = std::mem::take(&mut device);
            // A volume may be attached to several instances, under different names.
            if std::mem::take(&mut attached_to) == instance_id && !device.is_empty() {
                devices.push(device);
            }
        }
        ["volumeSet", "item"] => {
            let (id, availability_zone) = (std::mem::take(&mut id), std::mem::take(&mut zone));
            volumes.extend(devices.drain(..).map(|device| Volume {
                id: id.clone(),
                device,
                availability_zone: availability_zone.clone(),
            }));
        }
        _ => {}
    })
}

/// The answer to `DescribeInstances`.
///
/// # Errors
/// It is not one.
pub fn instances(body: &[u8]) -> Result<Page<Instance>, AnswerError> {
    let (mut instance, mut tag) = (Instance::default(), Tag::default());
    page(body, "DescribeInstancesResponse", |path, text, instances| {
        let ["reservationSet", "item", "instancesSet", "item", path @ ..] = path else { return };
        match path {
            ["instanceId"] => text.clone_into(&mut instance.id),
            ["instanceType"] => text.clone_into(&mut instance.instance_type),
            ["imageId"] => text.clone_into(&mut instance.image_id),
            ["placement", "availabilityZone"] => text.clone_into(&mut instance.availability_zone),
            ["privateIpAddress"] => text.clone_into(&mut instance.private_ip),
            ["privateDnsName"] => text.clone_into(&mut instance.private_dns_name),
            ["tagSet", "item", "key"] => text.clone_into(&mut tag.key),
            ["tagSet", "item", "value"] => text.clone_into(&mut tag.value),
            ["tagSet", "item"] => instance.tags.push(std::mem::take(&mut tag)),
            [] => instances.push(std::mem::take(&mut instance)),
            _ => {}
        }
    })
}

/// A refusal. Whatever is not understood leaves it empty.
pub fn refusal(body: &[u8]) -> Refusal {
    let mut refusal = Refusal::default();
    let Ok(text) = std::str::from_utf8(body) else { return refusal };
    let read = read(text, |path, text| match path {
        ["Response", "Errors", "Error", "Code"] => text.clone_into(&mut refusal.code),
        ["Response", "Errors", "Error", "Message"] => text.clone_into(&mut refusal.message),
        _ => {}
    });
    if read.is_ok() { refusal } else { Refusal::default() }
}

/// Reads a page whose root is `root`: `ended` gets the path below it.
fn page<T>(
    body: &[u8],
    root: &str,
    mut ended: impl FnMut(&[&str], &str, &mut Vec<T>),
) -> Result<Page<T>, AnswerError> {
    let text = std::str::from_utf8(body)?;
    let mut found = Page { items: Vec::new(), next_token: None };
    let mut other = None;
    read(text, |path, text| {
        let Some((first, path)) = path.split_first() else { return };
        if *first != root {
            other = Some((*first).to_owned());
            return;
        }
        match path {
            ["nextToken"] => found.next_token = Some(text.to_owned()).filter(|token| !token.is_empty()),
            _ => ended(path, text, &mut found.items),
        }
    })?;
    match other {
        Some(other) => Err(AnswerError::Other(other)),
        None => Ok(found),
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
