//! The values that events have, by name.

use std::net::IpAddr;

macro_rules! fields {
    ($($(#[$doc:meta])* $field:ident $name:literal $show:ident,)*) => {
        /// A value that an event may have. The names are the keys of JSON and
        /// CSV.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Field {
            $($(#[$doc])* $field,)*
        }

        impl Field {
            pub const ALL: &'static [Field] = &[$(Field::$field),*];

            pub fn name(self) -> &'static str {
                match self {
                    $(Field::$field => $name,)*
                }
            }

            pub fn show(self) -> Show {
                match self {
                    $(Field::$field => Show::$show,)*
                }
            }

            #[inline]
            pub(super) fn of_name(name: &[u8]) -> Option<Field> {
                $(if name == $name.as_bytes() {
                    return Some(Field::$field);
                })*
                None
            }
        }
    };
}

/// How a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    Unsigned,
    Signed,
    /// In hexadecimal: tags, checksums.
    Hex,
    /// An address in the kernel, which is masked unless it is asked for.
    Pointer,
}

fields! {
    /// Verification tag that this host expects.
    MyVtag "my_vtag" Hex,
    LocalPort "local_port" Unsigned,
    RemotePort "remote_port" Unsigned,
    /// Address in the kernel of the path (`struct sctp_nets`).
    Net "net" Pointer,
    /// Bytes.
    OldCwnd "old_cwnd" Signed,
    NewCwnd "new_cwnd" Signed,
    /// RTT of the path, which some points pass in place of the tag.
    NetRtt "net_rtt_us" Unsigned,
    /// Bytes per millisecond, as the RTCC module estimates.
    OldBw "old_bw" Unsigned,
    NewBw "new_bw" Unsigned,
    InstantBw "instant_bw" Unsigned,
    /// RTT when `old_bw` was measured.
    BwRtt "bw_rtt_us" Unsigned,
    Rtt "rtt_us" Unsigned,
    /// Bytes in flight.
    Flight "flight" Unsigned,
    VolReduce "vol_reduce" Unsigned,
    StepCnt "step_cnt" Unsigned,
    LastStepState "last_step_state" Unsigned,
    Cwnd "cwnd" Unsigned,
    Point "point" Unsigned,
    Ret "ret" Unsigned,
    /// How much a value grew.
    Change "change" Signed,
    NewValue "new_value" Signed,
    /// Address in the kernel of the association (`struct sctp_tcb`).
    CsCid "cs_cid" Pointer,
    IpVer "ip_ver" Unsigned,
    /// Bytes behind the IP header.
    IpPlength "ip_plength" Unsigned,
    NumRaddrs "sctps_num_raddrs" Signed,
    NumLaddrs "sctps_num_laddrs" Signed,
    Lport "sctps_lport" Unsigned,
    Rport "sctps_rport" Unsigned,
    State "sctps_state" Hex,
    OldState "old_state" Hex,
    Sport "sctp_sport" Unsigned,
    Dport "sctp_dport" Unsigned,
    /// Verification tag of the packet.
    Verify "sctp_verify" Hex,
    Checksum "sctp_checksum" Hex,
    /// Microseconds in the state before.
    Delta "delta_us" Unsigned,
    /// Members that carry nothing on FreeBSD, or an address that no tool can
    /// follow.
    PktAddr "pkt_addr" Pointer,
    CsAddr "cs_addr" Pointer,
    CsPid "cs_pid" Signed,
    CsZoneid "cs_zoneid" Unsigned,
    SctpsAddr "sctps_addr" Pointer,
    Raddrs "sctps_raddrs" Pointer,
    Laddrs "sctps_laddrs" Pointer,
    Hdr "sctp_hdr" Pointer,
}

/// Number of fields.
const COUNT: usize = Field::ALL.len();

/// Values by field; those that are not set hold anything.
#[derive(Clone, Copy, Debug)]
pub struct Values {
    set: u64,
    values: [u64; COUNT],
}

impl Default for Values {
    fn default() -> Values {
        Values {
            set: 0,
            values: [0; COUNT],
        }
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Values) -> bool {
        self.set == other.set && self.iter().eq(other.iter())
    }
}

impl Values {
    #[inline]
    pub(super) fn clear(&mut self) {
        self.set = 0;
    }

    #[inline]
    pub(super) fn set(&mut self, field: Field, value: u64) {
        self.set |= 1 << field as u8;
        self.values[field as usize] = value;
    }

    /// The value, signed ones as their two's complement.
    #[inline]
    pub fn get(&self, field: Field) -> Option<u64> {
        (self.set >> field as u8 & 1 != 0).then(|| self.values[field as usize])
    }

    pub fn signed(&self, field: Field) -> Option<i64> {
        self.get(field).map(|v| v as i64)
    }

    #[inline]
    pub(super) fn u16(&self, field: Field) -> Option<u16> {
        self.get(field).and_then(|v| u16::try_from(v).ok())
    }

    #[inline]
    pub(super) fn u32(&self, field: Field) -> Option<u32> {
        self.get(field).and_then(|v| u32::try_from(v).ok())
    }

    pub fn is_empty(&self) -> bool {
        self.set == 0
    }

    /// What is set, in the order of [`Field::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Field, u64)> + '_ {
        let all = Field::ALL.iter();
        all.filter_map(|field| Some((*field, self.get(*field)?)))
    }
}

/// An address that an event may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Address {
    /// Source and destination of the packet.
    IpSaddr,
    IpDaddr,
    /// Of the primary path of the association.
    Laddr,
    Raddr,
}

impl Address {
    pub const ALL: [Address; 4] = [
        Address::IpSaddr,
        Address::IpDaddr,
        Address::Laddr,
        Address::Raddr,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Address::IpSaddr => "ip_saddr",
            Address::IpDaddr => "ip_daddr",
            Address::Laddr => "sctps_laddr",
            Address::Raddr => "sctps_raddr",
        }
    }

    pub(super) fn of_name(name: &[u8]) -> Option<Address> {
        Address::ALL
            .into_iter()
            .find(|a| a.name().as_bytes() == name)
    }
}

/// Addresses by role; `None` also for `<unknown>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses([Option<IpAddr>; 4]);

impl Addresses {
    #[inline]
    pub(super) fn set(&mut self, address: Address, ip: Option<IpAddr>) {
        self.0[address as usize] = ip;
    }

    #[inline]
    pub fn get(&self, address: Address) -> Option<IpAddr> {
        self.0[address as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_bit_and_a_name() {
        const { assert!(COUNT <= 64) };
        for (at, field) in Field::ALL.iter().enumerate() {
            assert_eq!(*field as usize, at);
            assert_eq!(Field::of_name(field.name().as_bytes()), Some(*field));
        }
    }
}
