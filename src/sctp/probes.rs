//! The probes of the SCTP provider as `formats/dtrace/sctp.toml` has them.

use super::field::Field;
use serde::Deserialize;
use std::sync::OnceLock;

/// A probe, as its place among [`Probes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProbeId(u8);

/// What sort of thing a probe reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The congestion window of a path changed.
    Cwnd,
    /// The RTCC module looked at bandwidth and RTT.
    Rttvar,
    /// The same during steady steps.
    Rttstep,
    /// A value of a path changed.
    NetValue,
    /// A value of an association changed.
    AssocValue,
    /// A packet was sent or received.
    Packet,
    /// The state of an association changed.
    State,
}

/// One probe: `sctp:MODULE:FUNCTION:NAME`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    pub module: String,
    pub function: String,
    pub name: String,
    pub kind: Kind,
    /// In a few words, what it fires for.
    pub says: String,
    pub doc: String,
    /// Declared, but no kernel fires it.
    #[serde(default)]
    pub never_fires: bool,
}

/// How bits become a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    Unsigned,
    Hex,
    Signed,
    Port,
}

/// Bits of an argument that make a field; the name is empty where an argument
/// has no meaning.
#[derive(Clone, Debug, Deserialize)]
struct Packed(String, u8, u8, u8, Form);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KindEntry {
    name: Kind,
    arguments: u8,
    fields: Vec<Packed>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PointEntry {
    value: u16,
    name: String,
    doc: String,
    #[serde(default)]
    fields: Vec<Packed>,
}

/// A number with a name, and the string that stands for it in output.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    pub value: u32,
    pub name: String,
    #[serde(default)]
    pub string: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: String,
    kind: Vec<KindEntry>,
    probe: Vec<Probe>,
    point: Vec<PointEntry>,
    verdict: Vec<Named>,
    state: Vec<Named>,
    substate: Vec<Named>,
}

/// A field and where its bits are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub field: Field,
    argument: u8,
    shift: u8,
    bits: u8,
    form: Form,
}

impl Place {
    /// The value among raw arguments. Ports come out as numbers that people
    /// use, signed values sign-extended.
    #[inline]
    pub fn read(self, arguments: &[u64]) -> u64 {
        let raw = arguments.get(usize::from(self.argument)).copied();
        let raw = raw.unwrap_or(0) >> (self.shift & 63);
        match self.bits {
            16 if self.form == Form::Port => u64::from((raw as u16).swap_bytes()),
            32 if self.form == Form::Signed => i64::from(raw as u32 as i32) as u64,
            bits @ 0..64 => raw & ((1 << bits) - 1),
            _ => raw,
        }
    }
}

/// A place in the code of the RTCC module.
#[derive(Clone, Debug)]
pub struct Point {
    pub name: String,
    pub doc: String,
}

/// How the arguments of a kind of probe are packed.
#[derive(Clone, Debug)]
struct Packing {
    kind: Kind,
    arguments: usize,
    places: Vec<Place>,
    /// By point, for those that pack otherwise.
    by_point: Vec<(u16, Vec<Place>)>,
}

/// Everything that the format file says.
#[derive(Clone, Debug)]
pub struct Probes {
    provider: String,
    probes: Vec<Probe>,
    packings: Vec<Packing>,
    points: Vec<(u16, Point)>,
    verdicts: Vec<Named>,
    states: Vec<Named>,
    substates: Vec<Named>,
}

const SOURCE: &str = include_str!("../../formats/dtrace/sctp.toml");

/// The script that prints all probes, for whoever wants to trace.
pub const SCRIPT: &str = include_str!("../../formats/dtrace/tcplog-sctp.d");

/// Bits of a state number below the sub-states (SCTP_STATE_MASK).
const STATE_MASK: u32 = 0x7f;

impl Probes {
    /// What is embedded.
    pub fn builtin() -> &'static Probes {
        static BUILTIN: OnceLock<Probes> = OnceLock::new();
        BUILTIN.get_or_init(|| {
            Probes::parse(SOURCE).expect("the embedded format file is tested to load")
        })
    }

    fn parse(text: &str) -> Result<Probes, String> {
        let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
        let places = |packed: &[Packed]| -> Result<Vec<Place>, String> {
            let named = packed.iter().filter(|p| !p.0.is_empty());
            named
                .map(|Packed(name, argument, shift, bits, form)| {
                    let field = Field::of_name(name.as_bytes());
                    let field = field.ok_or_else(|| format!("no field is called {name}"))?;
                    let fits = *argument < 5 && *shift < 64 && shift + bits <= 64;
                    let (argument, shift, bits, form) = (*argument, *shift, *bits, *form);
                    fits.then_some(Place {
                        field,
                        argument,
                        shift,
                        bits,
                        form,
                    })
                    .ok_or_else(|| format!("{name} is not within an argument"))
                })
                .collect()
        };
        let mut packings = Vec::new();
        for kind in &file.kind {
            let mut by_point = Vec::new();
            let is_rtt = matches!(kind.name, Kind::Rttvar | Kind::Rttstep);
            for point in file.point.iter().filter(|p| is_rtt && !p.fields.is_empty()) {
                let replaced = |p: &&Packed| point.fields.iter().all(|own| own.1 != p.1);
                let mut packed: Vec<Packed> =
                    kind.fields.iter().filter(replaced).cloned().collect();
                packed.extend(point.fields.iter().cloned());
                packed.sort_by_key(|p| (p.1, u8::MAX - p.2));
                by_point.push((point.value, places(&packed)?));
            }
            packings.push(Packing {
                kind: kind.name,
                arguments: usize::from(kind.arguments),
                places: places(&kind.fields)?,
                by_point,
            });
        }
        for probe in &file.probe {
            if packings.iter().all(|p| p.kind != probe.kind) {
                return Err(format!("{} is of no kind", probe.name));
            }
        }
        if file.probe.len() > usize::from(u8::MAX) {
            return Err("too many probes".to_owned());
        }
        let points = file.point.into_iter().map(|p| {
            let (name, doc) = (p.name, p.doc);
            (p.value, Point { name, doc })
        });
        Ok(Probes {
            provider: file.provider,
            probes: file.probe,
            packings,
            points: points.collect(),
            verdicts: file.verdict,
            states: file.state,
            substates: file.substate,
        })
    }

    /// All probes, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (ProbeId, &Probe)> {
        (0..).map(ProbeId).zip(&self.probes)
    }

    pub fn provider(&self) -> &str {
        &self.provider
    }

    #[inline]
    pub fn get(&self, id: ProbeId) -> &Probe {
        // Only this module makes ids.
        &self.probes[usize::from(id.0)]
    }

    /// `sctp:MODULE:FUNCTION:NAME`.
    pub fn full_name(&self, id: ProbeId) -> String {
        let probe = self.get(id);
        let (module, function) = (&probe.module, &probe.function);
        format!("{}:{module}:{function}:{}", self.provider, probe.name)
    }

    /// The probe of the kernel's full name.
    #[inline]
    pub fn of_full_name(&self, name: &[u8]) -> Option<ProbeId> {
        let rest = name.strip_prefix(self.provider.as_bytes())?;
        let rest = rest.strip_prefix(b":")?;
        self.find(|p| {
            let (module, function) = (p.module.as_bytes(), p.function.as_bytes());
            let rest = rest.strip_prefix(module).and_then(|r| r.strip_prefix(b":"));
            let rest = rest.and_then(|r| r.strip_prefix(function)?.strip_prefix(b":"));
            rest == Some(p.name.as_bytes())
        })
    }

    /// The probe of what stands in the four columns of structured output.
    pub fn of_parts(&self, module: &str, function: &str, name: &str) -> Option<ProbeId> {
        self.find(|p| p.module == module && p.function == function && p.name == name)
    }

    /// The probes of `FUNCTION:NAME`, which is what dtrace prints by itself.
    /// The module is not said, so there may be several.
    pub fn of_short_name(&self, name: &[u8]) -> impl Iterator<Item = ProbeId> {
        let at = memchr::memrchr(b':', name).unwrap_or(0);
        let (function, name) = name.split_at(at);
        let name = name.strip_prefix(b":").unwrap_or(b"");
        let function = match function {
            // What a probe without a function may show.
            b"none" => b"",
            function => function,
        };
        self.iter()
            .filter(move |(_, p)| p.function.as_bytes() == function && p.name.as_bytes() == name)
            .map(|(id, _)| id)
    }

    fn find(&self, is: impl Fn(&Probe) -> bool) -> Option<ProbeId> {
        self.iter().find(|(_, p)| is(p)).map(|(id, _)| id)
    }

    /// Whether `--event NAME` can mean a probe: its name, or its full name.
    pub fn is_event(&self, name: &str) -> bool {
        let full = |(id, p): (ProbeId, &Probe)| p.name == name || self.full_name(id) == name;
        self.iter().any(full)
    }

    /// Raw arguments that a probe passes; 0 for those with structures.
    #[inline]
    pub fn arguments(&self, id: ProbeId) -> usize {
        self.packing(self.get(id).kind).map_or(0, |p| p.arguments)
    }

    #[inline]
    fn packing(&self, kind: Kind) -> Option<&Packing> {
        self.packings.iter().find(|p| p.kind == kind)
    }

    /// Where the fields of these arguments are.
    #[inline]
    pub(super) fn places(&self, id: ProbeId, arguments: &[u64]) -> &[Place] {
        let Some(packing) = self.packing(self.get(id).kind) else {
            return &[];
        };
        if packing.by_point.is_empty() {
            return &packing.places;
        }
        let point = packing.places.iter().find(|p| p.field == Field::Point);
        let point = point.map(|p| p.read(arguments));
        let own = packing
            .by_point
            .iter()
            .find(|(value, _)| Some(u64::from(*value)) == point);
        own.map_or(&packing.places, |(_, places)| places)
    }

    pub fn point(&self, value: u64) -> Option<&Point> {
        let found = self.points.iter().find(|(v, _)| u64::from(*v) == value);
        found.map(|(_, point)| point)
    }

    /// What the module's verdict at `point` means, where it is one.
    pub fn verdict(&self, point: u64, ret: u64) -> Option<&str> {
        let found = self.verdicts.iter().find(|v| u64::from(v.value) == ret);
        found
            .filter(|_| (11..=13).contains(&point))
            .map(|v| v.name.as_str())
    }

    /// The string that sctp_state_string gives for a state number.
    pub fn state_string(&self, state: u32) -> &str {
        let hidden = self
            .substates
            .iter()
            .find(|s| s.string.is_some() && state & s.value != 0);
        let plain = || self.states.iter().find(|s| s.value == state & STATE_MASK);
        let named = hidden.or_else(plain);
        named.and_then(|s| s.string.as_deref()).unwrap_or(UNKNOWN)
    }

    /// The string as this knows it, of one that was printed.
    pub fn known_state_string(&self, text: &[u8]) -> Option<&str> {
        if text == UNKNOWN.as_bytes() {
            return Some(UNKNOWN);
        }
        let all = self.states.iter().chain(&self.substates);
        let strings = all.filter_map(|s| s.string.as_deref());
        strings.into_iter().find(|s| s.as_bytes() == text)
    }

    /// The names of the sub-states that are set, and whether the association
    /// is at its end.
    pub fn substates(&self, state: u32) -> impl Iterator<Item = &str> {
        let set = self.substates.iter().filter(move |s| state & s.value != 0);
        set.map(|s| s.name.as_str())
    }
}

/// What the translators print where there is nothing.
pub const UNKNOWN: &str = "<unknown>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_file_loads() {
        let probes = Probes::builtin();
        assert_eq!(probes.iter().count(), 15);
        for (id, _) in probes.iter() {
            assert_eq!(
                probes.of_full_name(probes.full_name(id).as_bytes()),
                Some(id)
            );
        }
    }

    #[test]
    fn states_show_as_the_kernel_shows_them() {
        let probes = Probes::builtin();
        for (state, string) in [
            (0, "state-closed"),
            (1, "state-closed"),
            (2, "state-cookie-wait"),
            (0x1008, "state-established"),
            (0x88, "state-shutdown-pending"),
            (0x288, "state-closed"),
            (0x40, "state-shutdown-ack-sent"),
            (0x18, "<unknown>"),
        ] {
            assert_eq!(probes.state_string(state), string, "{state:#x}");
        }
    }

    #[test]
    fn short_names_may_be_ambiguous() {
        let probes = Probes::builtin();
        let count = |name: &str| probes.of_short_name(name.as_bytes()).count();
        assert_eq!((count("net:ack"), count(":send")), (1, 1));
        assert_eq!((count("none:send"), count("assoc:val")), (1, 2));
        assert_eq!((count("ack"), count(":"), count("")), (0, 0, 0));
    }
}
