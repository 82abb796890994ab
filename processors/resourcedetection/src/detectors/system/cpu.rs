//! The processor, of `/proc/cpuinfo`.

/// What the first processor says of itself; empty texts for what it does not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cpu {
    pub(super) vendor: String,
    pub(super) family: String,
    pub(super) model: String,
    pub(super) model_name: String,
    pub(super) stepping: String,
    /// Of what the kernel calls the cache size.
    pub(super) cache_kilobytes: Option<i64>,
}

impl Cpu {
    pub(super) fn parse(text: &str) -> Self {
        let mut cpu = Self::default();
        let mut seen = false;
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else {
                // An empty line ends a processor.
                if seen && line.trim().is_empty() {
                    break;
                }
                continue;
            };
            seen = true;
            let value = value.trim();
            match key.trim() {
                "vendor_id" => cpu.vendor = value.to_owned(),
                "CPU implementer" => cpu.vendor = implementer(value).to_owned(),
                "cpu family" => cpu.family = value.to_owned(),
                "model" => cpu.model = value.to_owned(),
                "CPU part" => {
                    cpu.model = value.to_owned();
                    cpu.model_name = part(value).to_owned();
                }
                "model name" => cpu.model_name = value.to_owned(),
                "stepping" | "CPU revision" => cpu.stepping = value.to_owned(),
                "cache size" => {
                    cpu.cache_kilobytes =
                        value.split_whitespace().next().and_then(|number| number.parse().ok());
                }
                _ => {}
            }
        }
        cpu
    }
}

/// Who made a processor of ARM's architecture.
fn implementer(number: &str) -> &str {
    match number {
        "0x41" => "ARM",
        "0x61" => "Apple",
        "0xc0" => "Ampere",
        other => other,
    }
}

/// What ARM calls its designs, as far as they are in servers.
fn part(number: &str) -> &str {
    match number {
        "0xd03" => "Cortex-A53",
        "0xd07" => "Cortex-A57",
        "0xd08" => "Cortex-A72",
        "0xd0c" => "Neoverse-N1",
        "0xd40" => "Neoverse-V1",
        "0xd49" => "Neoverse-N2",
        "0xd4f" => "Neoverse-V2",
        "0xd83" => "Neoverse-V3",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors() {
        let check = |text: &str, expected: [&str; 5], cache: Option<i64>| {
            let Cpu { vendor, family, model, model_name, stepping, cache_kilobytes } = Cpu::parse(text);
            assert_eq!([vendor, family, model, model_name, stepping], expected, "{text}");
            assert_eq!(cache_kilobytes, cache, "{text}");
        };
        check("", ["", "", "", "", ""], None);
        check(
            "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9R14\n\
             stepping\t: 1\ncache size\t: 1024 KB\nflags\t: a b\n\nprocessor\t: 1\nvendor_id\t: Other\n",
            ["AuthenticAMD", "25", "17", "AMD EPYC 9R14", "1"],
            Some(1024),
        );
        check(
            "\nprocessor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd40\nCPU revision\t: 1\n",
            ["ARM", "", "0xd40", "Neoverse-V1", "1"],
            None,
        );
    }
}
