//! `ADP_CLI/System/Licensing`: nothing of this suite asks for a license. Files that operators have are taken and kept, since
//! their command files import them. cli.md 5.4

use openadp_settings::{
    Action, ActionContext, ActionOutput, Context, Edit, Kind, Parameter, Problem, Problems, Rights, Settings,
    Tree, context,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zip::ZipArchive;

/// Folder of the files below the data directory.
const FOLDER: &str = "licenses";
/// Most bytes of a file, and of what is in it; a license is a page or two.
const MAX_BYTES: u64 = 1024 * 1024;
/// Most entries of an archive, and most files that are kept.
const MAX_ENTRIES: usize = 64;
const NOTE: &str = "nothing of this build asks for a license: the file is kept, and changes nothing";

context! {
    /// Licenses. Nothing of this build asks for one: every feature works without, for as many users as the machine carries.
    pub struct Licensing = Context::actions_only(Tree::Adp, "System/Licensing")
        .action_needs(&[("get", Rights::View)])
        .actions(&[Action {
            name: "get",
            help: "Shows what is licensed: everything, without a license.",
            arguments: &[],
            run: get,
        }]) => {}
}

context! {
    /// License files that were imported. They are kept and listed; nothing reads them, since nothing of this build asks for a
    /// license.
    pub struct LicenseFile = Context::table(Tree::Adp, "System/Licensing/LicenseManager/LicenseStore")
        .without(&["add", "set", "clear"])
        .needs(Rights::Administer)
        .actions(&[Action {
            name: "import",
            help: "Takes a license file, keeps it below the data directory and lists it. Nothing of this build asks for a \
                   license, so it changes nothing.",
            arguments: &[Parameter::new("file", Kind::Path).mandatory().help(
                "The zip archive; the user that the process which answers runs as must be able to read it.",
            )],
            run: import,
        }]) => {
        /// Name of the file.
        pub name: String = Parameter::new("name", Kind::text(1, 120)).header("Name").key().left();
        /// What is in it.
        pub entries: String = Parameter::new("entries", Kind::text(0, 4000)).header("Entries").mandatory().left();
        /// When it was imported, UTC.
        pub imported: String = Parameter::new("imported", Kind::text(1, 40)).header("Imported").mandatory();
        /// SHA-256 of the file, under which it is kept in the folder licenses of the data directory.
        pub digest: String = Parameter::new("sha256", Kind::text(64, 64)).header("SHA-256").mandatory();
    }
}

type Done = Result<ActionOutput, Problems>;

#[expect(clippy::unnecessary_wraps, reason = "commands may be refused")]
fn get(context: &ActionContext<'_>, _: &[Option<String>]) -> Done {
    let kept = context.snapshot.rows_of(LicenseFile::CONTEXT).len();
    let lines = vec![
        "  licenseRequired = false".to_owned(),
        "  licensedUsers = unlimited".to_owned(),
        format!("  filesKept = {kept}"),
        "Nothing of this build asks for a license; files in LicenseManager/LicenseStore are kept and not read.".to_owned(),
    ];
    Ok(ActionOutput { lines, query: true, ..ActionOutput::default() })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err("is no file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("has more than {MAX_BYTES} bytes, which no license file has"));
    }
    Ok(bytes)
}

/// Names in the archive; what comes out is counted, not what the archive says.
fn entries(bytes: &[u8]) -> Result<Vec<String>, String> {
    let mut archive = ZipArchive::new(std::io::Cursor::new(bytes))
        .map_err(|error| format!("is no zip archive: {error}"))?;
    if archive.is_empty() || archive.len() > MAX_ENTRIES {
        return Err(format!("has {} entries; a license file has 1 to {MAX_ENTRIES}", archive.len()));
    }
    let (mut names, mut all) = (Vec::new(), 0);
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| format!("is damaged: {error}"))?;
        let name = entry.name().map_err(|error| format!("is damaged: {error}"))?;
        let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
        all += std::io::copy(&mut entry.take(MAX_BYTES + 1), &mut std::io::sink())
            .map_err(|error| format!("is damaged: {error}"))?;
        if all > MAX_BYTES {
            return Err(format!("has more than {MAX_BYTES} bytes in it, which no license file has"));
        }
        names.push(name);
    }
    Ok(names)
}

fn keep(folder: &Path, digest: &str, bytes: &[u8]) -> std::io::Result<PathBuf> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let (path, temporary) = (folder.join(format!("{digest}.zip")), folder.join(format!(".{digest}.tmp")));
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes).and_then(|()| file.sync_all())?;
    std::fs::rename(temporary, &path)?;
    Ok(path)
}

fn import(context: &ActionContext<'_>, arguments: &[Option<String>]) -> Done {
    let path = Path::new(arguments.first().and_then(Option::as_deref).unwrap_or_default());
    let name: String = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let refused = |reason: String| {
        Problem::new(context.context.full_path(), format!("{} {reason}", path.display())).parameter("file")
    };
    if name.is_empty() || name.chars().count() > 120 || name.chars().any(char::is_control) {
        return Err(refused("has no name that can be kept".to_owned()).into());
    }
    if context.snapshot.rows_of(LicenseFile::CONTEXT).len() >= MAX_ENTRIES {
        return Err(refused(format!("would be one more than the {MAX_ENTRIES} that are kept"))
            .hint("delete some")
            .into());
    }
    let bytes = read(path).map_err(refused)?;
    let entries = entries(&bytes).map_err(refused)?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    keep(&context.data_dir.join(FOLDER), &digest, &bytes)
        .map_err(|error| refused(format!("cannot be kept: {error}")))?;
    let form = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second] GMT");
    let imported = context.now.to_offset(time::UtcOffset::UTC).format(form).unwrap_or_default();
    let values = [
        ("name", name.clone()),
        ("entries", entries.join(", ")),
        ("imported", imported),
        ("sha256", digest.clone()),
    ];
    let values = values.map(|(name, value)| (name.to_owned(), value));
    let path = LicenseFile::CONTEXT.full_path();
    let mut edits = Vec::new();
    // The same name again is a newer file.
    if context.snapshot.row(LicenseFile::CONTEXT, &[&name]).is_some() {
        edits.push(Edit::Delete { context: path.clone(), key: vec![name] });
    }
    edits.push(Edit::Add { context: path, values: BTreeMap::from(values) });
    Ok(ActionOutput { edits, remarks: vec![NOTE.to_owned()], ..ActionOutput::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, usize)]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, bytes) in files {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(&vec![b'x'; *bytes]).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn what_is_no_license_file_is_refused() {
        assert_eq!(
            entries(&archive(&[("license.txt", 10), ("signature", 20)])),
            Ok(vec!["license.txt".to_owned(), "signature".to_owned()])
        );
        for (bytes, reason) in [
            (b"no archive".to_vec(), "is no zip archive"),
            (archive(&[]), "has 0 entries"),
            (archive(&[("bomb", 2 * 1024 * 1024)]), "bytes in it"),
        ] {
            assert!(entries(&bytes).is_err_and(|told| told.contains(reason)), "{reason}");
        }
        let whole = archive(&[("license.txt", 100_000)]);
        for at in (0..whole.len()).step_by(7) {
            let mut torn = whole.clone();
            torn.truncate(at);
            assert!(entries(&torn).is_err(), "{at}");
        }
    }
}
