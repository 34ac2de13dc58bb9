//! The API document as a page a person reads: made once, without scripts and without a request.
//!
//! Knows OpenAPI as far as ours goes. Answers that many operations share are told once, at the end;
//! an operation names their statuses.

use std::fmt::Write;

use serde_json::Value;

const STYLE: &str = include_str!("docs.css");

/// The page.
#[derive(Debug)]
pub(super) struct Docs(pub(super) bytes::Bytes);

impl Docs {
    /// Makes the page of an OpenAPI document.
    pub(super) fn new(document: &str) -> Self {
        let api: Value = serde_json::from_str(document).unwrap_or_default();
        let mut page = Page { api: &api, html: String::with_capacity(64 << 10) };
        page.write();
        Self(page.html.into())
    }
}

struct Page<'a> {
    api: &'a Value,
    html: String,
}

impl<'a> Page<'a> {
    fn write(&mut self) {
        let api = self.api;
        let title = string(&api["info"]["title"]);
        self.raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
        self.raw("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>");
        self.text(title);
        self.raw(" API</title><style>");
        self.raw(STYLE);
        self.raw("</style></head><body><header><h1>");
        self.text(title);
        self.raw(" <small>");
        self.text(string(&api["info"]["version"]));
        self.raw("</small></h1><p>");
        self.prose(string(&api["info"]["description"]));
        self.raw("</p><p><a href=\"openapi.json\">openapi.json</a></p></header><pre><code>");
        self.text(EXAMPLE);
        self.raw("</code></pre>");
        for tag in list(&api["tags"]) {
            self.raw("<section><h2>");
            self.text(string(&tag["description"]));
            self.raw("</h2>");
            for (path, methods) in members(&api["paths"]) {
                for (method, operation) in members(methods) {
                    if list(&operation["tags"]).contains(&tag["name"]) {
                        self.operation(path, method, operation);
                    }
                }
            }
            self.raw("</section>");
        }
        self.schema("An event", &api["components"]["schemas"]["Event"]);
        self.schema("A batch", &api["components"]["schemas"]["Batch"]);
        self.answers();
        self.raw("</body></html>");
    }

    /// One line to open: method, path and summary; inside, what goes in and what comes out.
    fn operation(&mut self, path: &str, method: &str, operation: &Value) {
        self.raw("<details><summary><span class=\"method\">");
        self.text(&method.to_uppercase());
        self.raw("</span> <code>");
        self.text(path);
        self.raw("</code> <span class=\"says\">");
        self.prose(string(&operation["summary"]));
        self.raw("</span></summary>");
        self.raw("<dl><dt>Write key</dt><dd>");
        self.text(key_place(operation));
        self.raw("</dd>");
        if let Some(about) = operation["requestBody"]["description"].as_str() {
            self.raw("<dt>Body</dt><dd>");
            self.prose(about);
            self.raw("</dd>");
        }
        for parameter in list(&operation["parameters"]) {
            self.raw("<dt><code>");
            self.text(string(&parameter["name"]));
            self.raw("</code> in the ");
            self.text(string(&parameter["in"]));
            self.raw("</dt><dd>");
            self.prose(parameter["description"].as_str().unwrap_or("Text."));
            self.raw("</dd>");
        }
        self.raw("<dt>Answers</dt><dd>");
        for (status, response) in members(&operation["responses"]) {
            self.status(status, response);
        }
        self.raw("</dd></dl></details>");
    }

    /// A status: a link to the shared answer, or what it says if it is this operation's own.
    fn status(&mut self, status: &str, response: &Value) {
        if let Some(name) = shared(response) {
            self.raw("<a class=\"status\" href=\"#");
            self.text(name);
            self.raw("\">");
            self.text(status);
            self.raw("</a> ");
        } else {
            self.raw("<span class=\"status\">");
            self.text(status);
            self.raw("</span> <span class=\"says\">");
            self.prose(string(&response["description"]));
            for (kind, _) in members(&response["content"]) {
                self.raw(" <code>");
                self.text(kind);
                self.raw("</code>");
            }
            self.raw("</span><br>");
        }
    }

    fn schema(&mut self, title: &str, schema: &Value) {
        self.raw("<section><h2>");
        self.text(title);
        self.raw("</h2><p>");
        self.prose(string(&schema["description"]));
        self.raw("</p><table>");
        for (name, about) in members(&schema["properties"]) {
            self.raw("<tr><th><code>");
            self.text(name);
            self.raw("</code></th><td>");
            self.prose(string(&about["description"]));
            self.raw("</td></tr>");
        }
        self.raw("</table></section>");
    }

    /// The shared answers with their exact texts.
    fn answers(&mut self) {
        self.raw("<section><h2>Answers</h2><table>");
        for (name, response) in members(&self.api["components"]["responses"]) {
            self.raw("<tr id=\"");
            self.text(name);
            self.raw("\"><th>");
            self.text(&self.statuses(name));
            self.raw("</th><td>");
            self.prose(string(&response["description"]));
            for text in list(&response["content"]["text/plain"]["schema"]["enum"]) {
                self.raw("<br><code>");
                self.text(string(text).trim_end());
                self.raw("</code>");
            }
            for (header, _) in members(&response["headers"]) {
                self.raw("<br>Header <code>");
                self.text(header);
                self.raw("</code>");
            }
            self.raw("</td></tr>");
        }
        self.raw("</table></section>");
    }

    /// The status under which operations have the shared answer `name`.
    fn statuses(&self, name: &str) -> String {
        let operations = members(&self.api["paths"]).flat_map(|(_, methods)| members(methods));
        let mut responses = operations.flat_map(|(_, operation)| members(&operation["responses"]));
        let found = responses.find(|(_, response)| shared(response) == Some(name));
        found.map(|(status, _)| status.clone()).unwrap_or_default()
    }

    fn raw(&mut self, html: &str) {
        self.html.push_str(html);
    }

    /// Text in which `this` is code.
    fn prose(&mut self, text: &str) {
        for (n, part) in text.split('`').enumerate() {
            let code = n % 2 == 1;
            self.raw(if code { "<code>" } else { "" });
            self.text(part);
            self.raw(if code { "</code>" } else { "" });
        }
    }

    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '<' | '>' | '&' | '"' | '\'' => {
                    // Writing to a String cannot fail.
                    write!(self.html, "&#{};", u32::from(c)).ok();
                }
                _ => self.html.push(c),
            }
        }
    }
}

/// What to try first; without scheme and host, which the page does not know.
const EXAMPLE: &str = "curl -u WRITE_KEY: GATEWAY/v1/track \\\n  \
    -d '{\"userId\": \"u-1\", \"event\": \"Post Created\", \"properties\": {\"words\": 42}}'";

/// Where an operation's write key is.
fn key_place(operation: &Value) -> &'static str {
    let parameters = list(&operation["parameters"]);
    let named = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
    let header = !list(&operation["security"]).is_empty();
    match (named("writeKey"), named("key"), header) {
        (true, _, true) => "Query, else the user of a Basic Authorization header.",
        (true, _, false) => "Query.",
        (_, true, _) => "Path.",
        (_, _, true) if operation["requestBody"].is_object() => {
            "The user of a Basic Authorization header, else writeKey in the body."
        }
        (_, _, true) => "The user of a Basic Authorization header.",
        _ => "None.",
    }
}

/// The name of the shared answer that `response` refers to.
fn shared(response: &Value) -> Option<&str> {
    response["$ref"].as_str().and_then(|reference| reference.rsplit('/').next())
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
