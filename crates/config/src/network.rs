//! Ranges of IP addresses.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A range of IP addresses: `"10.0.0.0/8"`, `"fd00::/8"`, or one address: `"127.0.0.1"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// The lowest address; never an IPv4 address in IPv6 clothes.
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The addresses whose first `prefix` bits are those of `address`; `None` if there are not so many
    /// bits, or if others are set.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        // `::ffff:10.0.0.0/104` is `10.0.0.0/8`, and must be found for a client of either look.
        let (address, prefix) = match (address, address.to_canonical()) {
            (IpAddr::V6(_), v4 @ IpAddr::V4(_)) if prefix >= 96 => (v4, prefix - 96),
            _ => (address, prefix),
        };
        let network = Self { address, prefix };
        (prefix <= width(address) && network.lowest() == address).then_some(network)
    }

    /// Whether `address` is in the range. An IPv4 address in IPv6 clothes counts as IPv4.
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.address) && Self { address, ..self }.lowest() == self.address
    }

    /// The lowest address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits are the same in all addresses.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    fn lowest(self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
                IpAddr::V4((u32::from(address) & mask).into())
            }
            IpAddr::V6(address) => {
                let shift = 128 - u32::from(self.prefix.min(128));
                let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask))
            }
        }
    }
}

/// How many bits an address has.
fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no range of addresses: write e.g. \"10.0.0.0/8\"");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| wrong())?,
            None => width(address),
        };
        if prefix > width(address) {
            return Err(format!(
                "`{text}` has more bits than the address: at most {}",
                width(address)
            ));
        }
        Self::new(address, prefix).ok_or_else(|| {
            let lowest = Self { address, prefix }.lowest();
            format!("`{text}` is an address inside a range: write \"{lowest}/{prefix}\" or \"{address}\"")
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == width(self.address) {
            return self.address.fmt(f);
        }
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Cow<'de, str> = Cow::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^[0-9A-Fa-f:.]+(/\d{1,3})?$",
            "description": "A range of IP addresses, or one address.",
            "examples": ["10.0.0.0/8"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_searched() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("0.0.0.0/0", "255.1.1.1", "::1"),
            ("::/0", "::1", "1.1.1.1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::ffff:10.0.0.0/104", "10.1.1.1", "11.1.1.1"),
        ] {
            let network: Network = range.parse().expect(range);
            let [inside, outside] = [inside, outside].map(|text| text.parse().expect("an address"));
            assert!(network.contains(inside) && !network.contains(outside), "{range}");
            assert_eq!(network.to_string().parse(), Ok(network));
        }
    }

    #[test]
    fn wrong_ranges_are_explained() {
        for (range, why) in [
            (
                "10.0.0.1/8",
                "`10.0.0.1/8` is an address inside a range: write \"10.0.0.0/8\" or \"10.0.0.1\"",
            ),
            ("10.0.0.0/33", "`10.0.0.0/33` has more bits than the address: at most 32"),
            ("10.0.0/8", "`10.0.0/8` is no range of addresses: write e.g. \"10.0.0.0/8\""),
            ("all", "`all` is no range of addresses: write e.g. \"10.0.0.0/8\""),
        ] {
            assert_eq!(range.parse::<Network>(), Err(why.to_owned()));
        }
    }
}
