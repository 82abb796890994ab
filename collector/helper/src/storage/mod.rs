//! State on disk: where a component's state goes, and an append-only log of records for what must not be lost.
//!
//! A `storage` option names an extension; [`area`] turns the name into a directory, [`Journal`] keeps records in one.

mod error;
mod format;
mod journal;
mod segment;
mod state;

pub use error::{JournalError, StorageError};
pub use journal::{Journal, JournalConfig, RecordId};

use component::{BoxError, ComponentId, Host, Kind, StorageArea};

/// The place that the extension named by `storage` has for the component of `kind` and `id`. `name` tells several states
/// of one component apart, such as the signals of an exporter; it may be empty.
///
/// # Errors
/// [`StorageError`]: the text is no id, no such extension is used, it keeps no state for others, or it has no place.
pub fn area(
    host: &Host,
    storage: &str,
    kind: Kind,
    id: &ComponentId,
    name: &str,
) -> Result<StorageArea, BoxError> {
    let named = || storage.to_owned();
    let extension_id =
        ComponentId::parse(storage).map_err(|source| StorageError::InvalidId { storage: named(), source })?;
    let extension =
        host.extension(&extension_id).ok_or_else(|| StorageError::Unknown { storage: named() })?;
    let area =
        extension.storage(kind, id, name).ok_or_else(|| StorageError::NotStorage { storage: named() })?;
    area.map_err(|source| StorageError::NoPlace { storage: named(), source }.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use component::{Component, Extension};

    use super::*;

    struct Beside;
    struct Keeps(Result<StorageArea, String>);

    impl Component for Beside {}
    impl Extension for Beside {}
    impl Component for Keeps {}
    impl Extension for Keeps {
        fn storage(&self, kind: Kind, id: &ComponentId, name: &str) -> Option<Result<StorageArea, BoxError>> {
            let area = self.0.clone().map_err(Into::into);
            Some(area.map(|area| StorageArea { directory: format!("{kind}-{id}-{name}").into(), ..area }))
        }
    }

    #[test]
    fn the_extension_is_found_or_named() {
        let extension =
            |id: &str, extension: Arc<dyn Extension>| (ComponentId::parse(id).unwrap(), extension);
        let host = Host::standalone().with_extensions([
            extension("beside", Arc::new(Beside)),
            extension("keeps/1", Arc::new(Keeps(Ok(StorageArea::default())))),
            extension("keeps/2", Arc::new(Keeps(Err("read-only".into())))),
        ]);
        let check = |storage: &str, expected: Result<&str, &str>| {
            let id = ComponentId::of_type("otlp");
            let area = area(&host, storage, Kind::Exporter, &id, "logs");
            let got = area.map(|area| area.directory.display().to_string()).map_err(|error| {
                let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
                format!("{error}{source}")
            });
            assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned), "{storage}");
        };
        check("keeps/1", Ok("exporter-otlp-logs"));
        check("keeps/2", Err("storage extension \"keeps/2\" has no place for this state: read-only"));
        check(
            "keeps",
            Err("no storage client extension found: \"keeps\" is not in service::extensions; \
                 define it under extensions and list it there"),
        );
        check(
            "beside",
            Err(
                "requested extension is not a storage extension: \"beside\"; name one that is, such as file_storage",
            ),
        );
        check("", Err("storage: \"\" is not the id of an extension: id must not be empty"));
    }
}
