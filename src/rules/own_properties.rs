//! What the broker itself puts among the properties of each message that it stores.

use ringmq_remoting::codes::{
    property::{CLUSTER, MSG_REGION, TRACE_SWITCH},
    version::V5_0_0,
};

use crate::message_properties::{Names, PropertiesWriter, PropertyError};

/// Properties in place of those that the producer may have set itself.
#[derive(Clone, Debug)]
pub struct OwnProperties {
    /// Each with its value and both separators.
    pub text: Vec<u8>,
    pub names: Names,
}

/// What messages of older and of newer producers get: as a Java broker of their time does it.
#[derive(Clone, Debug)]
pub struct OwnPropertiesByVersion {
    old: OwnProperties,
    new: OwnProperties,
}

impl OwnPropertiesByVersion {
    /// `region` is `regionId`, `trace_on` is `traceOn`.
    ///
    /// # Errors
    /// If a value holds a separator of properties; the text begins with the name of its key.
    pub fn new(cluster: &str, region: &str, trace_on: bool) -> Result<Self, String> {
        let old = OwnProperties::of(Names::CLUSTER, &[(CLUSTER, cluster)])
            .map_err(|error| format!("brokerClusterName: {error}"))?;
        let trace = if trace_on { "true" } else { "false" };
        let all = [(CLUSTER, cluster), (MSG_REGION, region), (TRACE_SWITCH, trace)];
        let new = OwnProperties::of(Names::CLUSTER.and(Names::REGION), &all)
            .map_err(|error| format!("regionId: {error}"))?;
        Ok(OwnPropertiesByVersion { old, new })
    }

    /// For a message whose producer has this version.
    #[inline]
    pub fn of(&self, version: i32) -> &OwnProperties {
        if version >= V5_0_0 { &self.new } else { &self.old }
    }
}

impl OwnProperties {
    fn of(names: Names, all: &[(&str, &str)]) -> Result<OwnProperties, PropertyError> {
        let mut text = Vec::new();
        let mut writer = PropertiesWriter::new(&mut text);
        for (name, value) in all {
            writer.put(name, value.as_bytes())?;
        }
        Ok(OwnProperties { text, names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_5_x_producers_name_their_region() {
        let own = OwnPropertiesByVersion::new("c", "r", true).expect("no separators");
        assert_eq!(own.of(412).text, b"CLUSTER\x01c\x02");
        assert_eq!(own.of(413).text, b"CLUSTER\x01c\x02MSG_REGION\x01r\x02TRACE_ON\x01true\x02");
        let refused = |cluster, region| OwnPropertiesByVersion::new(cluster, region, true).err();
        assert!(refused("a\x01", "r").is_some_and(|why| why.starts_with("brokerClusterName: ")));
        assert!(refused("c", "a\x02").is_some_and(|why| why.starts_with("regionId: ")));
    }
}
