//! The mount table: `/proc/<pid>/mountinfo`.

use std::borrow::Cow;

use crate::disk::DeviceNumber;
use crate::text::lines;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount<'a> {
    /// The filesystem's device: a block device's number, or with major 0 one the kernel made up.
    pub number: DeviceNumber,
    /// Where it is mounted, seen from the process's root.
    pub mount_point: Cow<'a, [u8]>,
    /// The filesystem type, such as `ext4`.
    pub fs_type: Cow<'a, [u8]>,
    /// What is mounted, such as `/dev/nvme0n1p1`. May be empty.
    pub source: Cow<'a, [u8]>,
}

/// The mounts of a mountinfo file (Documentation/filesystems/proc.rst, section 3.5) in its order: the order of mounting
/// but for moved mounts. Lines of another shape are left out.
pub fn parse_mountinfo(bytes: &[u8]) -> impl Iterator<Item = Mount<'_>> {
    lines(bytes).filter_map(|line| {
        // id parent maj:min root mount-point options [optional fields…] - type source super-options. Exactly one blank
        // separates two fields, and a field may be empty.
        let mut fields = line.split(|&byte| byte == b' ');
        let number = DeviceNumber::parse(fields.nth(2)?)?;
        let mount_point = unescape(fields.nth(1)?);
        let _options = fields.next()?;
        fields.by_ref().find(|field| *field == b"-")?;
        let fs_type = unescape(fields.next()?);
        let source = unescape(fields.next()?);
        Some(Mount { number, mount_point, fs_type, source })
    })
}

/// Undoes the kernel's escaping of blank, tab, newline, backslash and `#` as `\` and three octal digits. A backslash
/// before anything else stays.
#[must_use]
pub fn unescape(field: &[u8]) -> Cow<'_, [u8]> {
    if !field.contains(&b'\\') {
        return Cow::Borrowed(field);
    }
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = after.first_chunk::<3>().filter(|_| byte == b'\\').and_then(octal);
        plain.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    Cow::Owned(plain)
}

fn octal(digits: &[u8; 3]) -> Option<u8> {
    let value = digits.iter().try_fold(0_u16, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 8)?;
        Some(sum * 8 + u16::from(digit))
    })?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts() {
        fn check(input: &str, expected: &[(&str, &str, &str, &str)]) {
            let actual: Vec<_> = parse_mountinfo(input.as_bytes())
                .map(|mount| {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    (
                        mount.number.to_string(),
                        text(&mount.mount_point),
                        text(&mount.fs_type),
                        text(&mount.source),
                    )
                })
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(a, b, c, d)| (String::from(*a), String::from(*b), String::from(*c), String::from(*d)))
                .collect();
            assert_eq!(actual, expected, "{input:?}");
        }
        check(
            "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
             36 35 98:0 /mnt1 /mnt/my\\040disk rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue\n\
             40 27 0:52 / /var/x rw - overlay overlay rw,lowerdir=/a:/b\n\
             41 27 0:53 / /run/y rw -   rw\n",
            &[
                ("254:0", "/", "ext4", "/dev/vda"),
                ("98:0", "/mnt/my disk", "ext3", "/dev/root"),
                ("0:52", "/var/x", "overlay", "overlay"),
                ("0:53", "/run/y", "", ""),
            ],
        );
        check("27 1 254:0 / / rw,relatime ext4 /dev/vda rw\n27 1 x / / rw - ext4 /dev/vda rw\n27 1\n\n", &[]);
        check("27 1 254:0 / / rw - ext4\n27 1 254:0 / / rw - ext4 /dev/vd", &[]);
    }

    #[test]
    fn escapes() {
        fn check(input: &[u8], expected: &[u8]) {
            assert_eq!(unescape(input), expected, "{input:?}");
        }
        check(b"/plain", b"/plain");
        check(br"/a\040b\011c\012d\134e\043f", b"/a b\tc\nd\\e#f");
        check(br"\377", b"\xff");
        check(br"\400", br"\400");
        check(br"\04", br"\04");
        check(br"\089", br"\089");
        check(br"a\", br"a\");
        check(br"\\040", b"\\ ");
        check("/größe\\040ü".as_bytes(), "/größe ü".as_bytes());
    }
}
