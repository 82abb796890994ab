//! Which devices are volumes of Kubernetes: their mount points tell.

use std::path::Path;

/// A device that is mounted as a persistent volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Persistent {
    /// By Kubernetes' own driver of former days, which names zone and volume: `aws://<zone>/<volume>`.
    Named(String),
    /// By a CSI driver, which does not: the device itself must say which volume it is.
    Csi,
}

impl Persistent {
    /// What a mount point says.
    pub(crate) fn at(mount_point: &Path) -> Option<Self> {
        let path = mount_point.to_str()?;
        if let Some((_, rest)) = path.rsplit_once("/kubernetes.io/aws-ebs/mounts/aws/") {
            let (zone, volume) = rest.split_once('/')?;
            let is_volume = volume.starts_with("vol-") && !volume.contains('/') && !zone.is_empty();
            return is_volume.then(|| Self::Named(format!("aws://{zone}/{volume}")));
        }
        (path.contains("/kubernetes.io/csi/") && path.ends_with("/globalmount")).then_some(Self::Csi)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points() {
        fn check(path: &str, expected: Option<Persistent>) {
            assert_eq!(Persistent::at(Path::new(path)), expected, "{path}");
        }
        let plugins = "/rootfs/var/lib/kubelet/plugins/kubernetes.io";
        let named = Persistent::Named("aws://us-east-1a/vol-0abc".to_owned());
        check(&format!("{plugins}/aws-ebs/mounts/aws/us-east-1a/vol-0abc"), Some(named));
        check(&format!("{plugins}/aws-ebs/mounts/aws/us-east-1a/vol-0abc/x"), None);
        check(&format!("{plugins}/aws-ebs/mounts/aws/us-east-1a"), None);
        check(&format!("{plugins}/aws-ebs/mounts/vol-0abc"), None);
        check(&format!("{plugins}/csi/ebs.csi.aws.com/5f3c/globalmount"), Some(Persistent::Csi));
        check(&format!("{plugins}/csi/pv/pvc-1/globalmount"), Some(Persistent::Csi));
        check("/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/pvc-1/mount", None);
        check("/", None);
    }
}
