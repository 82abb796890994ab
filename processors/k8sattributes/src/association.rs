//! How resources and pods find each other: both tell the same key.

use std::fmt::Write as _;
use std::net::IpAddr;

use confmap::Problems;
use pdata::{Names, Scan};
use smallvec::smallvec;

use crate::AssociationConfig;
use crate::field::{Field, Fields};
use crate::key::{Key, Kind, Part, Parts, address};

/// The most sources that one association may have.
const MOST_SOURCES: usize = 4;

/// Attributes of resources that stand for the connection if nothing is configured.
const IP_ATTRIBUTES: [&str; 3] = ["k8s.pod.ip", "host.name", "ip"];

/// The layout of keys that are an address only, of the connection or of what stands for it.
pub(crate) const BY_CONNECTION: usize = 0;
/// The layout of keys that are a pod's uid only.
pub(crate) const BY_UID: usize = 1;

/// A way to identify pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) slots: Vec<Slot>,
    /// The first layout whose keys are alike: an address is the same whoever tells it.
    pub(crate) space: usize,
    /// The attributes that resources have which it identifies.
    pub(crate) said: Fields,
}

/// One of the values that together identify a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The address of the connection that the data came by.
    Connection,
    /// An attribute of the resource.
    Attribute {
        name: String,
        /// What of a pod it is compared with.
        source: PodSource,
        /// Its place among the attributes that are read.
        wanted: usize,
    },
}

/// What of a pod an attribute is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PodSource {
    Ip,
    /// An address where it is one, and nothing where it is none: a host's name is that of a node just as often.
    HostName,
    Uid,
    Container,
    Namespace,
    Name,
    /// The attribute of that name.
    Added,
}

impl PodSource {
    fn of(name: &str) -> Self {
        match name {
            "k8s.pod.ip" => Self::Ip,
            "host.name" => Self::HostName,
            "k8s.pod.uid" => Self::Uid,
            "container.id" => Self::Container,
            "k8s.namespace.name" => Self::Namespace,
            "k8s.pod.name" => Self::Name,
            _ => Self::Added,
        }
    }
}

/// All ways, and which of them resources are tried by, in order.
#[derive(Debug)]
pub(crate) struct Associations {
    pub(crate) layouts: Vec<Layout>,
    configured: Vec<usize>,
    /// Where the three attributes stand that are addresses if nothing is configured.
    addresses: [Option<usize>; 3],
}

/// What a resource says of its pod.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identified<'a> {
    pub(crate) layout: usize,
    pub(crate) key: Key<'a>,
    /// The value that stands for the connection, if the layout has it.
    pub(crate) connection: Option<Connection<'a>>,
}

/// An address of a peer, or what an attribute says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection<'a> {
    Peer(IpAddr),
    Text(&'a str),
}

/// A text that is there and not empty.
#[inline]
pub(crate) fn text<'a>(scan: &Scan<'a>, place: Option<usize>) -> Option<&'a str> {
    scan.value(place?)?.as_str().filter(|text| !text.is_empty())
}

impl Slot {
    fn attribute(name: &str, wanted: &mut Names) -> Self {
        Self::Attribute { name: name.to_owned(), source: PodSource::of(name), wanted: wanted.place(name) }
    }

    /// What of a pod it is compared with.
    #[inline]
    pub(crate) fn kind(&self) -> Kind<'_> {
        let Self::Attribute { name, source, .. } = self else { return Kind::Ip };
        match source {
            PodSource::Ip | PodSource::HostName => Kind::Ip,
            PodSource::Uid => Kind::Uid,
            PodSource::Container => Kind::Container,
            PodSource::Namespace => Kind::Namespace,
            PodSource::Name => Kind::Name,
            PodSource::Added => Kind::Added(name),
        }
    }
}

impl Layout {
    fn new(slots: Vec<Slot>) -> Self {
        let mut said = Fields::default();
        for slot in &slots {
            if let Slot::Attribute { name, .. } = slot
                && let Some(field) = Field::parse(name)
            {
                said.insert(field);
            }
        }
        Self { slots, space: 0, said }
    }

    fn kinds(&self) -> impl Iterator<Item = Kind<'_>> {
        self.slots.iter().map(Slot::kind)
    }

    /// Its name in telemetry.
    pub(crate) fn name(&self) -> String {
        let mut out = String::new();
        for slot in &self.slots {
            let plus = if out.is_empty() { "" } else { "+" };
            // Writing to a string does not fail.
            let _ = match slot {
                Slot::Connection => write!(out, "{plus}connection"),
                Slot::Attribute { name, .. } => write!(out, "{plus}resource_attribute/{name}"),
            };
        }
        out
    }

    /// Whether resources that it identifies have this attribute.
    pub(crate) fn has(&self, attribute: &str) -> bool {
        self.slots.iter().any(|slot| matches!(slot, Slot::Attribute { name, .. } if name == attribute))
    }
}

impl Associations {
    pub(crate) fn compile(
        configs: &[AssociationConfig],
        wanted: &mut Names,
        problems: &mut Problems,
    ) -> Self {
        let alone = |slot: Slot| Layout::new(vec![slot]);
        let mut layouts = vec![
            alone(Slot::Connection),
            alone(Slot::attribute(Field::PodUid.name(), wanted)),
            alone(Slot::attribute(Field::PodIp.name(), wanted)),
        ];
        let addresses = IP_ATTRIBUTES.map(|name| configs.is_empty().then(|| wanted.place(name)));
        let mut configured = Vec::new();
        for (index, config) in configs.iter().enumerate() {
            let layout = problems.index(index, |problems| layout(config, wanted, problems));
            let known = layouts.iter().position(|known| *known == layout);
            configured.push(known.unwrap_or_else(|| {
                layouts.push(layout);
                layouts.len() - 1
            }));
        }
        let spaces: Vec<usize> = layouts
            .iter()
            .map(|layout| {
                layouts.iter().position(|first| first.kinds().eq(layout.kinds())).unwrap_or_default()
            })
            .collect();
        layouts.iter_mut().zip(spaces).for_each(|(layout, space)| layout.space = space);
        Self { layouts, configured, addresses }
    }

    /// The layouts that the keys of pods are made for.
    pub(crate) fn spaces(&self) -> impl Iterator<Item = (usize, &Layout)> {
        self.layouts.iter().enumerate().filter(|(index, layout)| layout.space == *index)
    }

    /// How many layouts have keys like those of `space`.
    pub(crate) fn alike(&self, space: usize) -> usize {
        self.layouts.iter().filter(|layout| layout.space == space).count()
    }

    /// The layouts that resources are tried by; none if nothing is configured.
    pub(crate) fn configured(&self) -> impl Iterator<Item = (usize, &Layout)> {
        self.configured.iter().filter_map(|index| Some((*index, self.layouts.get(*index)?)))
    }

    /// What a resource with these attributes, sent by `peer`, says of its pod.
    pub(crate) fn identify<'a>(&self, scan: &Scan<'a>, peer: Option<IpAddr>) -> Option<Identified<'a>> {
        if self.configured.is_empty() {
            return self.by_address(scan, peer);
        }
        self.configured().find_map(|(index, layout)| identify_by(index, layout, scan, peer))
    }

    fn by_address<'a>(&self, scan: &Scan<'a>, peer: Option<IpAddr>) -> Option<Identified<'a>> {
        let [pod_ip, host_name, ip] = self.addresses.map(|place| text(scan, place));
        let connection = match pod_ip.or(ip) {
            Some(text) => Connection::Text(text),
            None => match (peer, host_name.filter(|name| address(name).is_some())) {
                (Some(peer), _) => Connection::Peer(peer),
                (None, Some(name)) => Connection::Text(name),
                (None, None) => return None,
            },
        };
        let part = match connection {
            Connection::Peer(ip) => Part::Ip(ip),
            Connection::Text(text) => Part::of(Kind::Ip, text),
        };
        let key = Key { space: BY_CONNECTION, parts: smallvec![part] };
        Some(Identified { layout: BY_CONNECTION, key, connection: Some(connection) })
    }
}

fn identify_by<'a>(
    index: usize,
    layout: &Layout,
    scan: &Scan<'a>,
    peer: Option<IpAddr>,
) -> Option<Identified<'a>> {
    let (mut parts, mut connection) = (Parts::new(), None);
    for slot in &layout.slots {
        match slot {
            Slot::Connection => {
                let peer = peer?;
                parts.push(Part::Ip(peer));
                connection.get_or_insert(Connection::Peer(peer));
            }
            Slot::Attribute { source, wanted, .. } => {
                let part = Part::of(slot.kind(), text(scan, Some(*wanted))?);
                if *source == PodSource::HostName && !matches!(part, Part::Ip(_)) {
                    return None;
                }
                parts.push(part);
            }
        }
    }
    Some(Identified { layout: index, key: Key { space: layout.space, parts }, connection })
}

fn layout(config: &AssociationConfig, wanted: &mut Names, problems: &mut Problems) -> Layout {
    problems.at("sources", |problems| {
        if config.sources.is_empty() {
            problems.report_with_help(
                "an association without sources identifies nothing and hides those after it",
                "leave the association out",
            );
        }
        if config.sources.len() > MOST_SOURCES {
            problems.report(format!("too many association sources. limit is {MOST_SOURCES}"));
        }
        let mut slots = Vec::new();
        for (index, source) in config.sources.iter().enumerate() {
            match source.from.as_str() {
                "connection" => slots.push(Slot::Connection),
                "resource_attribute" => slots.push(Slot::attribute(&source.name, wanted)),
                other => problems.index(index, |problems| {
                    problems.at("from", |problems| {
                        problems.report_with_help(
                            format!("{other:?} is not a source of associations"),
                            "one of resource_attribute, connection",
                        );
                    });
                }),
            }
        }
        Layout::new(slots)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use pdata::Attributes;

    /// The name of the layout, and what stands for the connection.
    fn identify(yaml: &str, attributes: &[(&str, &str)], peer: Option<&str>) -> Option<(String, String)> {
        let config: Config = confmap::from_yaml(yaml).unwrap();
        let (mut wanted, mut problems) = (Names::default(), Problems::default());
        let associations = Associations::compile(&config.pod_association, &mut wanted, &mut problems);
        assert_eq!(problems.len(), 0, "{problems}");
        let attributes = Attributes::new(attributes.iter().copied());
        let peer = peer.map(|peer| peer.parse().unwrap());
        let mut scan = Scan::default();
        wanted.read(attributes.iter(), &mut scan);
        let found = associations.identify(&scan, peer)?;
        let connection = match found.connection {
            Some(Connection::Peer(ip)) => ip.to_string(),
            Some(Connection::Text(text)) => text.to_owned(),
            None => String::new(),
        };
        Some((associations.layouts[found.layout].name(), connection))
    }

    #[test]
    fn resources_without_associations() {
        fn check(attributes: &[(&str, &str)], peer: Option<&str>, expected: Option<&str>) {
            let expected = expected.map(|ip| ("connection".to_owned(), ip.to_owned()));
            assert_eq!(identify("{}", attributes, peer), expected, "{attributes:?}");
        }
        let both = [("k8s.pod.ip", "2.2.2.2"), ("ip", "1.1.1.1")];
        check(&both, Some("3.3.3.3"), Some("2.2.2.2"));
        check(&both[1..], Some("3.3.3.3"), Some("1.1.1.1"));
        check(&[], Some("3.3.3.3"), Some("3.3.3.3"));
        check(&[("host.name", "4.4.4.4")], Some("3.3.3.3"), Some("3.3.3.3"));
        check(&[("host.name", "4.4.4.4")], None, Some("4.4.4.4"));
        check(&[("host.name", "invalid-ip")], None, None);
        check(&[("k8s.pod.ip", "")], None, None);
        check(&[], None, None);
    }

    #[test]
    fn the_first_association_whose_sources_are_all_there_is_used() {
        fn check(attributes: &[(&str, &str)], peer: Option<&str>, expected: Option<(&str, &str)>) {
            let yaml = "pod_association: [{sources: [{from: resource_attribute, name: host.name}]}, \
                        {sources: [{from: resource_attribute, name: a}, {from: resource_attribute, name: b}]}, \
                        {sources: [{from: connection, name: x}]}]";
            let expected = expected.map(|(name, ip)| (name.to_owned(), ip.to_owned()));
            assert_eq!(identify(yaml, attributes, peer), expected, "{attributes:?}");
        }
        let peer = Some("1.2.3.4");
        let pair = [("a", "1"), ("b", "2"), ("host.name", "1.1.1.1")];
        check(&[("host.name", "worker-node")], peer, Some(("connection", "1.2.3.4")));
        check(&pair, peer, Some(("resource_attribute/host.name", "")));
        check(&pair[..2], peer, Some(("resource_attribute/a+resource_attribute/b", "")));
        check(&pair[..1], peer, Some(("connection", "1.2.3.4")));
        check(&[("a", ""), ("b", "2")], None, None);
    }

    #[test]
    fn layouts_of_addresses_have_keys_alike() {
        let yaml = "pod_association: [{sources: [{from: resource_attribute, name: host.name}]}, \
                    {sources: [{from: connection}, {from: resource_attribute, name: a}]}, \
                    {sources: [{from: resource_attribute, name: k8s.pod.ip}, {from: resource_attribute, name: a}]}]";
        let config: Config = confmap::from_yaml(yaml).unwrap();
        let associations =
            Associations::compile(&config.pod_association, &mut Names::default(), &mut Problems::default());
        let spaces: Vec<usize> = associations.layouts.iter().map(|layout| layout.space).collect();
        assert_eq!(spaces, [0, 1, 0, 0, 4, 4]);
        assert_eq!((associations.alike(0), associations.alike(4)), (3, 2));
        assert_eq!(associations.spaces().map(|(index, _)| index).collect::<Vec<_>>(), [0, 1, 4]);
    }

    #[test]
    fn associations_that_cannot_be() {
        fn check(yaml: &str, expected: &str) {
            let config: Config = confmap::from_yaml(yaml).unwrap();
            let mut problems = Problems::rooted("pod_association");
            Associations::compile(&config.pod_association, &mut Names::default(), &mut problems);
            assert!(problems.to_string().contains(expected), "{problems}");
        }
        check(
            "pod_association: [{sources: []}]",
            "pod_association[0]::sources: an association without sources",
        );
        check(
            "pod_association: [{sources: [{from: label}]}]",
            "::sources[0]::from: \"label\" is not a source",
        );
        let five = "{from: connection},".repeat(5);
        check(
            &format!("pod_association: [{{sources: [{five}]}}]"),
            "too many association sources. limit is 4",
        );
    }
}
