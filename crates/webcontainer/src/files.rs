//! The files of an installed archive.
//!
//! Only what the archive's [`Index`] lists is served, so that no path leads anywhere else: the index is made when the archive is
//! unpacked, and a request's path is looked up in it before any file is opened. Servlets are not run; they are refused by name.

use crate::respond;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use openadp_alarms::APPLICATION_FILES_MISSING;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::io::AsyncReadExt;
use tokio::sync::OnceCell;
use tokio_util::io::ReaderStream;

/// The folder with the files, beside the index.
const FILES: &str = "files";
const INDEX: &str = "index.json";
/// Most bytes of an index; the installation's limits keep it far below.
const MAX_INDEX: u64 = 64 * 1024 * 1024;
/// Names that a folder's path stands for.
const WELCOME: [&str; 2] = ["index.html", "index.htm"];
/// What only a servlet container can answer.
const PAGES: [&str; 3] = ["jsp", "jspx", "jspf"];
/// RFC 9110 5.6.7.
const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// One file of an installed archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its bytes.
    pub size: u64,
    /// Changes whenever its contents do; letters, digits and hyphens.
    pub tag: String,
    /// Seconds since 1970, UTC.
    pub modified: i64,
}

/// What an installed archive holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// SHA-256 of the archive, in hexadecimal digits.
    pub archive: String,
    /// Its files by path, without a leading slash.
    pub entries: BTreeMap<String, Entry>,
    /// Servlets that the archive declares and nothing here runs: URL pattern and name.
    pub servlets: Vec<(String, String)>,
}

/// Why an index cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct IndexError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Index {
    /// Where the files of an archive are.
    pub fn files(folder: &Path) -> PathBuf {
        folder.join(FILES)
    }

    /// Reads the index of an installed archive. Blocks.
    ///
    /// # Errors
    /// It is not there, or is no index.
    pub fn read(folder: &Path) -> Result<Self, IndexError> {
        let path = folder.join(INDEX);
        let read = || {
            let file = std::fs::File::open(&path)?;
            if file.metadata()?.len() > MAX_INDEX {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than any index"));
            }
            Ok(serde_json::from_reader(io::BufReader::new(file))?)
        };
        read().map_err(|source| IndexError { path: path.clone(), source })
    }

    /// Writes the index of an archive that was unpacked. Blocks.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), IndexError> {
        let path = folder.join(INDEX);
        let write = || {
            let file = std::fs::File::create(&path)?;
            serde_json::to_writer(io::BufWriter::new(&file), self)?;
            file.sync_all()
        };
        write().map_err(|source| IndexError { path: path.clone(), source })
    }

    /// The file that a path means.
    fn find(&self, path: &str) -> Option<(&str, &Entry)> {
        let get = |name: &str| self.entries.get_key_value(name).map(|(name, entry)| (name.as_str(), entry));
        let folder = path.is_empty() || path.ends_with('/');
        if !folder && let Some(found) = get(path) {
            return Some(found);
        }
        // No redirect to the folder's own path: nothing here sends one.
        let separator = if folder { "" } else { "/" };
        WELCOME.iter().find_map(|name| get(&format!("{path}{separator}{name}")))
    }

    /// The servlet that a path would go to, by the container's rules; catch-all ones only where no file is.
    fn servlet(&self, path: &str) -> Option<&str> {
        let fits = |pattern: &str| {
            let path = format!("/{path}");
            if matches!(pattern, "/" | "/*") {
                return self.find(&path[1..]).is_none();
            }
            if let Some(prefix) = pattern.strip_suffix("/*") {
                return path
                    .strip_prefix(prefix)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            }
            match pattern.strip_prefix("*.") {
                Some(extension) => path.rsplit_once('.').is_some_and(|(_, own)| own == extension),
                None => path == pattern,
            }
        };
        self.servlets.iter().find(|(pattern, _)| fits(pattern)).map(|(_, name)| name.as_str())
    }
}

/// Serves the files of one installed archive.
#[derive(Debug)]
pub struct StaticFiles {
    folder: PathBuf,
    index: OnceCell<Arc<Index>>,
    told: AtomicBool,
}

/// What is not served any more is missed no more.
impl Drop for StaticFiles {
    fn drop(&mut self) {
        self.clear_alarm();
    }
}

impl StaticFiles {
    /// The files of an archive that was unpacked to a folder. Nothing is read before the first request.
    pub fn new(folder: impl Into<PathBuf>) -> Arc<Self> {
        Arc::new(Self { folder: folder.into(), index: OnceCell::new(), told: AtomicBool::new(false) })
    }

    /// Serves them below a mount.
    pub fn router(self: &Arc<Self>) -> Router {
        let this = self.clone();
        Router::new().fallback(move |request: Request| {
            let this = this.clone();
            async move { this.answer(request).await }
        })
    }

    fn clear_alarm(&self) {
        let folder = self.folder.display().to_string();
        APPLICATION_FILES_MISSING.clear(&[("folder", &folder)]);
    }

    async fn index(&self) -> Option<&Arc<Index>> {
        let read = || async {
            let folder = self.folder.clone();
            let read = tokio::task::spawn_blocking(move || Index::read(&folder));
            let index = read.await.map_err(|error| error.to_string())?;
            if index.is_ok() {
                self.clear_alarm();
            }
            index.map(Arc::new).map_err(|error| error.to_string())
        };
        match self.index.get_or_try_init(read).await {
            Ok(index) => Some(index),
            Err(error) => {
                if !self.told.swap(true, Ordering::Relaxed) {
                    let folder = self.folder.display().to_string();
                    APPLICATION_FILES_MISSING.raise(&[("folder", &folder)], error);
                }
                None
            }
        }
    }

    async fn answer(&self, request: Request) -> Response<Body> {
        let Some(index) = self.index().await else { return not_found() };
        let Some(path) = decoded(request.uri().path()) else {
            return respond::plain(StatusCode::BAD_REQUEST, "malformed path\n");
        };
        let path = path.trim_start_matches('/');
        if let Some(refused) = not_run(index, path) {
            return refused;
        }
        let Some((name, entry)) = index.find(path) else { return not_found() };
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = respond::plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let etag = format!("\"{}\"", entry.tag);
        let modified =
            OffsetDateTime::from_unix_timestamp(entry.modified).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let mut response = if unchanged(request.headers(), &etag, modified) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            match self.open(name, entry.size, request.method() == Method::HEAD).await {
                Ok(response) => response,
                Err(error) => {
                    let folder = self.folder.display().to_string();
                    APPLICATION_FILES_MISSING.raise(&[("folder", &folder)], format_args!("{name}: {error}"));
                    return respond::plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n");
                }
            }
        };
        let headers = response.headers_mut();
        for (name, value) in [(ETAG, Some(etag)), (LAST_MODIFIED, modified.format(HTTP_DATE).ok())] {
            if let Some(Ok(value)) = value.map(|value| HeaderValue::from_str(&value)) {
                headers.insert(name, value);
            }
        }
        // Kept, and asked about every time: an upgrade shows at once.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }

    async fn open(&self, name: &str, size: u64, head: bool) -> io::Result<Response<Body>> {
        let file = tokio::fs::File::open(self.folder.join(FILES).join(name)).await?;
        if file.metadata().await?.len() != size {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not what was installed"));
        }
        let body = if head { Body::empty() } else { Body::from_stream(ReaderStream::new(file.take(size))) };
        let mut response = Response::new(body);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
        Ok(response)
    }
}

fn not_found() -> Response<Body> {
    respond::plain(StatusCode::NOT_FOUND, "not found\n")
}

/// The refusal of what only a servlet container can answer, by the servlet's name.
fn not_run(index: &Index, path: &str) -> Option<Response<Body>> {
    let page = extension(path).is_some_and(|own| PAGES.iter().any(|page| own.eq_ignore_ascii_case(page)));
    let what = match index.servlet(path) {
        Some(name) => format!("servlet {name}"),
        None if page => "JSP page".to_owned(),
        None => return None,
    };
    let mut response = respond::plain(StatusCode::NOT_IMPLEMENTED, "");
    *response.body_mut() =
        Body::from(format!("{what} is not run: only the files of an archive are served\n"));
    Some(response)
}

fn extension(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    name.rsplit_once('.').map(|(_, extension)| extension)
}

/// A path with its percent escapes resolved; `None` where it is malformed or cannot be the path of a file.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        };
        if byte == b'\\' || byte.is_ascii_control() {
            return None;
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

/// Whether the client has this already. RFC 9110 13.1.2 and 13.1.3: a date counts only without tags.
fn unchanged(headers: &HeaderMap, etag: &str, modified: OffsetDateTime) -> bool {
    let mut tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).peekable();
    if tags.peek().is_some() {
        return tags
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag);
    }
    let since = headers.get(IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    since
        .and_then(|since| time::PrimitiveDateTime::parse(since, HTTP_DATE).ok())
        .is_some_and(|since| modified <= since.assume_utc())
}

/// The media type of a file, by the end of its name.
fn content_type(name: &str) -> &'static str {
    const TYPES: [(&str, &str); 30] = [
        ("css", "text/css; charset=utf-8"),
        ("csv", "text/csv; charset=utf-8"),
        ("eot", "application/vnd.ms-fontobject"),
        ("gif", "image/gif"),
        ("htm", "text/html; charset=utf-8"),
        ("html", "text/html; charset=utf-8"),
        ("ico", "image/vnd.microsoft.icon"),
        ("jpeg", "image/jpeg"),
        ("jpg", "image/jpeg"),
        ("js", "text/javascript; charset=utf-8"),
        ("json", "application/json"),
        ("map", "application/json"),
        ("md", "text/markdown; charset=utf-8"),
        ("mjs", "text/javascript; charset=utf-8"),
        ("mp3", "audio/mpeg"),
        ("mp4", "video/mp4"),
        ("ogg", "audio/ogg"),
        ("otf", "font/otf"),
        ("pdf", "application/pdf"),
        ("png", "image/png"),
        ("svg", "image/svg+xml"),
        ("ttf", "font/ttf"),
        ("txt", "text/plain; charset=utf-8"),
        ("wasm", "application/wasm"),
        ("wav", "audio/wav"),
        ("webmanifest", "application/manifest+json"),
        ("webp", "image/webp"),
        ("woff", "font/woff"),
        ("woff2", "font/woff2"),
        ("xml", "application/xml"),
    ];
    let own = extension(name).unwrap_or_default();
    TYPES
        .iter()
        .find(|(known, _)| own.eq_ignore_ascii_case(known))
        .map_or("application/octet-stream", |(_, media)| media)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn index() -> Index {
        let entry = |size| Entry { size, tag: format!("00ff-{size}"), modified: 1_700_000_000 };
        Index {
            archive: String::new(),
            entries: BTreeMap::from([
                ("index.html".to_owned(), entry(5)),
                ("help/index.htm".to_owned(), entry(4)),
                ("a b.css".to_owned(), entry(3)),
                ("gone.txt".to_owned(), entry(9)),
            ]),
            servlets: vec![
                ("/login/*".to_owned(), "Login".to_owned()),
                ("*.do".to_owned(), "Action".to_owned()),
            ],
        }
    }

    fn installed() -> (tempfile::TempDir, Arc<StaticFiles>) {
        let folder = tempfile::tempdir().unwrap();
        let files = Index::files(folder.path());
        std::fs::create_dir_all(files.join("help")).unwrap();
        for (name, text) in [("index.html", "hello"), ("help/index.htm", "help"), ("a b.css", "css")] {
            std::fs::write(files.join(name), text).unwrap();
        }
        std::fs::write(folder.path().join("outside.txt"), "outside").unwrap();
        index().write(folder.path()).unwrap();
        let served = StaticFiles::new(folder.path());
        (folder, served)
    }

    async fn ask(
        served: &StaticFiles,
        method: Method,
        path: &str,
        header: Option<(&str, &str)>,
    ) -> Response<Body> {
        let mut request = http::Request::builder().method(method).uri(path);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        served.answer(request.body(Body::empty()).unwrap()).await
    }

    async fn text(response: Response<Body>) -> (u16, String) {
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn files_are_found_by_the_index_alone() {
        let (_folder, served) = installed();
        for (path, wanted) in [
            ("/", (200, "hello")),
            ("/index.html", (200, "hello")),
            ("/help", (200, "help")),
            ("/help/", (200, "help")),
            ("/a%20b.css", (200, "css")),
            ("/outside.txt", (404, "not found\n")),
            ("/%2e%2e/outside.txt", (404, "not found\n")),
            ("/..%2foutside.txt", (404, "not found\n")),
            ("/a%5cb", (400, "malformed path\n")),
            ("/a%0ab", (400, "malformed path\n")),
            ("/a%2", (400, "malformed path\n")),
            ("/WEB-INF/web.xml", (404, "not found\n")),
            ("/login/x", (501, "servlet Login is not run: only the files of an archive are served\n")),
            ("/x.do", (501, "servlet Action is not run: only the files of an archive are served\n")),
            ("/page.JSP", (501, "JSP page is not run: only the files of an archive are served\n")),
        ] {
            let (status, body) = text(ask(&served, Method::GET, path, None).await).await;
            assert_eq!((status, body.as_str()), wanted, "{path}");
        }
        assert_eq!(ask(&served, Method::GET, "/gone.txt", None).await.status(), 500);
        let post = ask(&served, Method::POST, "/", None).await;
        assert_eq!(
            (post.status().as_u16(), &post.headers()[ALLOW]),
            (405, &HeaderValue::from_static("GET, HEAD"))
        );
    }

    #[tokio::test]
    async fn heads_and_conditions() {
        let (_folder, served) = installed();
        let head = ask(&served, Method::HEAD, "/a%20b.css", None).await;
        assert_eq!(head.headers()[CONTENT_LENGTH], "3");
        assert_eq!(head.headers()[CONTENT_TYPE], "text/css; charset=utf-8");
        assert_eq!(head.headers()[ETAG], "\"00ff-3\"");
        assert_eq!(head.headers()[LAST_MODIFIED], "Tue, 14 Nov 2023 22:13:20 GMT");
        assert_eq!(text(head).await, (200, String::new()));
        for (name, value, status) in [
            ("if-none-match", "\"x\", W/\"00ff-3\"", 304),
            ("if-none-match", "*", 304),
            ("if-none-match", "\"x\"", 200),
            ("if-modified-since", "Tue, 14 Nov 2023 22:13:20 GMT", 304),
            ("if-modified-since", "Tue, 14 Nov 2023 22:13:19 GMT", 200),
            ("if-modified-since", "yesterday", 200),
        ] {
            let answer = ask(&served, Method::GET, "/a%20b.css", Some((name, value))).await;
            assert_eq!(answer.status(), status, "{name}: {value}");
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_is_not_found() {
        let served = StaticFiles::new("/nonexistent");
        assert_eq!(ask(&served, Method::GET, "/", None).await.status(), 404);
    }
}
