use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::config::{ApiServerConfig, Credentials};
use super::kubeconfig::usual_paths;

/// A kubeconfig with one cluster and one user, given as YAML in one line.
fn whole(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\npreferences: {{}}\ncurrent-context: x\n\
         contexts: [{{name: other, context: {{}}}}, {{name: x, context: {{cluster: c, user: u, namespace: n}}}}]\n\
         clusters: [{{name: c, cluster: {cluster}}}]\nusers: [{{name: u, user: {user}}}]\n"
    )
}

fn read(text: &str, context: Option<&str>) -> Result<ApiServerConfig, String> {
    ApiServerConfig::from_kubeconfig_text(text, Path::new("/home/config"), context).map_err(|error| {
        let words = error.to_string();
        words.strip_prefix("cannot use the kubeconfig /home/config: ").unwrap().to_owned()
    })
}

#[test]
fn clusters() {
    let config = read(&whole("{server: 'https://a:6443', proxy-url: 'http://p:1'}", "{}"), None).unwrap();
    assert_eq!(config.url, "https://a:6443/");
    assert!(matches!(config.credentials, Credentials::None));
    assert_eq!(config.proxy_url.expose(), "http://p:1");

    let config = read(
        &whole(
            "{server: a, certificate-authority: pki/ca.crt, tls-server-name: b, insecure-skip-tls-verify: true}",
            "{client-certificate: /pki/u.crt, client-key: ../u.key}",
        ),
        Some("x"),
    )
    .unwrap();
    let (tls, own) = (&config.tls, &config.tls.common);
    assert_eq!(config.url, "https://a/");
    assert_eq!((tls.server_name_override.as_str(), tls.insecure_skip_verify), ("b", true));
    assert_eq!(own.ca_file, PathBuf::from("/home/pki/ca.crt"));
    assert_eq!((&own.cert_file, &own.key_file), (&"/pki/u.crt".into(), &"/home/../u.key".into()));

    // Text stands before files.
    let both = "{server: a, certificate-authority: ca.crt, certificate-authority-data: cGVt}";
    let own = read(&whole(both, "{}"), None).unwrap().tls.common;
    assert_eq!((own.ca_pem.expose(), own.ca_file), ("pem", PathBuf::new()));
}

#[test]
fn users() {
    fn check(user: &str, expected: &str) {
        let config = read(&whole("{server: a}", user), None).unwrap();
        let found = match &config.credentials {
            Credentials::None => "none".to_owned(),
            Credentials::Token(token) => format!("token {}", token.expose()),
            Credentials::TokenFile(path) => format!("file {}", path.display()),
            Credentials::Basic { username, password } => format!("basic {username} {}", password.expose()),
            Credentials::Exec(exec) => {
                let env: Vec<_> = exec.env.iter().map(|(name, value)| (name, value.expose())).collect();
                format!("exec {} {:?} {env:?} {:?}", exec.command.display(), exec.args, exec.cluster)
            }
        };
        assert_eq!(found, expected, "{user}");
        assert!(!format!("{config:?}").contains("hidden"), "{config:?}");
    }
    check("{}", "none");
    check("{token: hidden}", "token hidden");
    check("{token: hidden, tokenFile: t}", "file /home/t");
    check("{username: u, password: hidden}", "basic u hidden");
    check(
        "{exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: aws, args: [eks, get-token],
          env: [{name: AWS_PROFILE, value: hidden}]}}",
        "exec aws [\"eks\", \"get-token\"] [(\"AWS_PROFILE\", \"hidden\")] None",
    );
    check(
        "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, args: null, provideClusterInfo: true,
          interactiveMode: IfAvailable}}",
        "exec /home/./plugin [] [] Some(ExecCluster { server: \"https://a/\", tls_server_name: \"\", \
         insecure_skip_tls_verify: false, certificate_authority_data: \"\" })",
    );
}

#[test]
fn what_is_wrong_is_named_without_secrets() {
    fn check(text: &str, context: Option<&str>, expected: &str) {
        let reason = read(text, context).unwrap_err();
        assert!(reason.starts_with(expected), "{reason}");
        assert!(!reason.contains("hidden"), "{reason}");
    }
    let user = |user: &str| whole("{server: a}", user);
    let fine = user("{}");
    check("", None, "it has no current-context, and no context is configured");
    check("[1]", None, "it has no current-context");
    check("a: [", None, "it is no YAML: ");
    check(&fine, Some("nosuch"), "context \"nosuch\" does not exist");
    check(&fine, Some("other"), "context \"other\" names no cluster");
    check(&fine.replace("name: c,", "name: d,"), None, "cluster \"c\" does not exist");
    check(&fine.replace("name: u,", "name: d,"), None, "user \"u\" does not exist");
    check(&whole("{}", "{}"), None, "cluster \"c\" has no server");
    check(
        &whole("{server: 'http://a b'}", "{}"),
        None,
        "cluster \"c\" has a server \"http://a b\" that is no URL",
    );
    check(
        &whole("{server: a, proxy-url: 'socks5://u:hidden@p'}", "{}"),
        None,
        "cluster \"c\" has an unusable proxy-url: only http proxies are supported",
    );
    check(
        &whole("{server: a, insecure-skip-tls-verify: 'yes'}", "{}"),
        None,
        "cluster \"c\" has insecure-skip-tls-verify that is neither true nor false",
    );
    check(&user("{token: [hidden]}"), None, "user \"u\" has token that is no text");
    check(
        &user("{client-key-data: 'hidden!'}"),
        None,
        "user \"u\" has client-key-data that is no text in base64",
    );
    check(
        &user("{auth-provider: {name: gcp, config: {access-token: hidden}}}"),
        None,
        "user \"u\" needs the auth-provider \"gcp\", which Kubernetes has given up: let an exec plugin give the token",
    );
    check(&user("{as: admin}"), None, "user \"u\" asks for impersonation (as), which is not supported");
    check(
        &user("{exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: a}}"),
        None,
        "user \"u\": exec has apiVersion \"client.authentication.k8s.io/v1alpha1\": expected one of ",
    );
    let exec = |rest: &str| user(&format!("{{exec: {{apiVersion: client.authentication.k8s.io/v1{rest}}}}}"));
    check(&exec(""), None, "user \"u\": exec has no command");
    check(
        &exec(", command: a, interactiveMode: Always"),
        None,
        "user \"u\": exec needs somebody at a terminal",
    );
    check(&exec(", command: a, args: [1]"), None, "user \"u\": exec has args that are no text");
    check(&exec(", command: a, args: a"), None, "user \"u\": exec has args that is no list");
    check(
        &exec(", command: a, env: [{name: 'a=b', value: hidden}]"),
        None,
        "user \"u\": exec has env that is no list of names and values",
    );
}

#[test]
fn several_files_are_read_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a", "{current-context: x, clusters: [{name: c, cluster: {server: first}}]}");
    write(
        "b",
        &whole("{server: second}", "{tokenFile: t}").replace("current-context: x", "current-context: other"),
    );
    let listed: Vec<_> = ["a", "missing", "b"].iter().map(|name| folder.path().join(name)).collect();
    let listed = std::env::join_paths(listed).unwrap();
    let paths = usual_paths(|name| (name == "KUBECONFIG").then(|| listed.clone()));
    let config = ApiServerConfig::from_files(&paths, None).unwrap();
    assert_eq!(config.url, "https://first/");
    assert!(matches!(config.credentials, Credentials::TokenFile(path) if path == folder.path().join("t")));

    let home = usual_paths(|name| (name == "HOME").then(|| OsString::from("/home/u")));
    assert_eq!(home, [PathBuf::from("/home/u/.kube/config")]);
    let error = ApiServerConfig::from_files(&["/does/not/exist".into()], None).unwrap_err().to_string();
    assert!(error.starts_with("cannot use the kubeconfig /does/not/exist: No such file"), "{error}");
}
