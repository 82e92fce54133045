//! Commands for the instance that a report is about. The package's unit serves the one named `default`.

const UNIT: &str = "default";

/// How to start the instance's daemon, or start it again.
pub(crate) fn start(instance: &str) -> String {
    match instance {
        UNIT => "`systemctl restart thulium-ctl`, or `thulium-ctl run --policy FILE`".to_owned(),
        other => format!("`thulium-ctl --instance {other} run --policy FILE`"),
    }
}

/// Where the daemon's lines are.
pub(crate) fn log(instance: &str) -> &'static str {
    match instance {
        UNIT => "`journalctl -u thulium-ctl`",
        _ => "what its `run` printed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_serves_the_default_instance_alone() {
        assert!(start("default").contains("systemctl") && log("default").contains("journalctl"));
        assert_eq!(start("office-2"), "`thulium-ctl --instance office-2 run --policy FILE`");
        assert!(!log("office-2").contains("journalctl"));
    }
}
