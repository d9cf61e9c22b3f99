package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"dmarcgate/config"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/resultstest"
	"dmarcgate/site"
)

// block returns the code blocks of a kind in a document of the project.
func blocks(t *testing.T, file, kind string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", file))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for rest := string(text); ; {
		_, after, ok := strings.Cut(rest, "```"+kind+"\n")
		if !ok {
			return out
		}
		block, next, _ := strings.Cut(after, "```")
		out, rest = append(out, block), next
	}
}

// words makes text that differs only in the width of its columns equal.
func words(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestREADMEShowsDemo(t *testing.T) {
	code, table, stderr := command("demo", "--log")
	if code != 0 {
		t.Fatalf("demo = %d, %s", code, stderr)
	}
	var lines []string
	for line := range strings.Lines(table) {
		lines = append(lines, words(line))
	}
	shown := 0
	for _, line := range strings.Split(blocks(t, "README.md", "console")[0], "\n") {
		if line = words(line); line == "" || line == "..." || line == "$ make demo" {
			continue
		}
		shown++
		if !slices.Contains(lines, line) {
			t.Errorf("README.md shows the line %q; the demo prints\n%s", line, table)
		}
	}
	if shown < 5 {
		t.Errorf("README.md shows %d lines of the demo; want some", shown)
	}
	for _, line := range strings.Split(strings.TrimSpace(blocks(t, "README.md", "text")[0]), "\n") {
		if reply, ok := strings.CutPrefix(line, "550 5.7.1 "); ok {
			if !strings.Contains(demoReplies(t), reply+"\n") {
				t.Errorf("README.md shows the reply %q; the demo gives\n%s", reply, demoReplies(t))
			}
			continue
		}
		// The duration is different each time.
		parts := regexp.MustCompile(` dur=\S+ `).Split(line, 2)
		if !slices.ContainsFunc(strings.Split(stderr, "\n"), func(l string) bool {
			return strings.Contains(l, " "+parts[0]+" dur=") && strings.HasSuffix(l, parts[len(parts)-1])
		}) {
			t.Errorf("README.md shows the log line %q; the demo logs\n%s", line, stderr)
		}
	}
}

func demoReplies(t *testing.T) string {
	t.Helper()
	_, out, _ := command("demo", "--json")
	var outcomes []outcome
	if err := json.Unmarshal([]byte(out), &outcomes); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, o := range outcomes {
		b.WriteString(o.Reply + "\n")
	}
	return b.String()
}

// Every command line of the documents is one that works: words of make exist,
// and lines for dmarcgate run, with the paths of the test in place of those of
// a host.
func TestDocumentsCommandsWork(t *testing.T) {
	makefile := repoFile(t, "Makefile")
	dns := dnstest.New(t, toolZone+`s1._domainkey.shop.example. TXT "k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="`+"\n!any\n")
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{Rules: siteRules})
	d.Store().Add(resultstest.Forwarded(resultstest.SignedBy("alumni.example")))
	cfg := d.path // of a daemon that runs
	reportQueue(t, cfg)
	mail := write(t, "message.eml", "From: x@bank.example\n\nbody\n")
	example, err := config.Parse("deploy/dmarcgate.toml", repoFile(t, "deploy/dmarcgate.toml"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int)
	for _, file := range []string{"README.md", "docs/debian.md", "docs/dns.md", "docs/explain.md", "docs/flow.md", "docs/lookup.md", "docs/operations.md", "docs/rules.md", "docs/rules-commands.md", "docs/setup.md", "docs/monitoring.md", "docs/runbooks.md", "docs/store.md", "docs/testing.md", "docs/decisions.md", "docs/temporary-failures.md"} {
		for _, block := range blocks(t, file, "sh") {
			for line := range strings.Lines(block) {
				line, _, _ = strings.Cut(line, " #")
				w := strings.Fields(line)
				if len(w) == 0 {
					continue
				}
				seen[w[0]]++
				switch w[0] {
				case "make":
					if !bytes.Contains(makefile, []byte("\n"+w[1]+":")) {
						t.Errorf("%s: %q: the Makefile has no %s", file, line, w[1])
					}
				case "dmarcgate":
					runLine(t, file, w[1:], cfg, mail)
				case "curl":
					url := strings.TrimPrefix(w[1], "http://")
					host, path, _ := strings.Cut(url, "/")
					if host != example.Admin.Listen || !slices.Contains([]string{"metrics", "readyz", "healthz"}, path) {
						t.Errorf("%s: %q is not served at the default address %s", file, w[1], example.Admin.Listen)
					}
				case "go":
					goLine(t, file, w)
				default:
					hostLine(t, file, line, example)
				}
			}
		}
	}
	for _, w := range []string{"make", "dmarcgate", "curl", "install"} {
		if seen[w] == 0 {
			t.Errorf("the documents show no %s", w)
		}
	}
}

// parses reports what is wrong with a command line, without running it.
func parses(args []string) error {
	parser, err := kong.New(&cli{}, kong.Vars{"config": site.DefaultConfig})
	if err == nil {
		_, err = parser.Parse(args)
	}
	return err
}

func runLine(t *testing.T, file string, args []string, cfg, mail string) {
	t.Helper()
	if slices.Contains([]string{"serve", "tail", "setup", "doctor"}, args[0]) {
		// They run in other tests: here they would not end, change a real Postfix, or
		// find faults of the machine.
		if err := parses(args); err != nil {
			t.Errorf("%s: dmarcgate %q: %v", file, args, err)
		}
		return
	}
	if args[0] == "completion" {
		if i := slices.Index(args, ">"); i >= 0 {
			args = args[:i]
		}
		if code, _, stderr := command(args...); code != 0 {
			t.Errorf("%s: dmarcgate %q exits with %d: %s", file, args, code, stderr)
		}
		return
	}
	for i, a := range args {
		if a == "message.eml" {
			args[i] = mail
		}
	}
	if code, _, stderr := command(append(args, "-c", cfg)...); code != 0 {
		t.Errorf("%s: dmarcgate %q exits with %d: %s", file, args, code, stderr)
	}
}

// hostLine checks a command line of the host against the files that it needs.
func hostLine(t *testing.T, file, line string, example *config.Config) {
	t.Helper()
	w := strings.Fields(line)
	switch w[0] {
	case "adduser": // the user of the unit, and of the keys in README.md
		if name := w[len(w)-1]; unit(t, "dmarcgate.service")["User"][0] != name {
			t.Errorf("%s: %q: the unit has another user", file, line)
		}
	case "install":
		if slices.Contains(w, "-d") {
			if dir := w[len(w)-1]; dir != example.StateDir && !strings.Contains(blocks(t, file, "toml")[0], dir+"/") {
				t.Errorf("%s: %q: no key has this directory", file, line)
			}
		} else if src := w[len(w)-2]; src != "dmarcgate" {
			if _, err := os.Stat(filepath.Join("../..", src)); err != nil {
				t.Errorf("%s: %q: %v", file, line, err)
			}
		}
	case "apt": // internal/packagetest runs those of docs/debian.md
		if !bytes.Contains(repoFile(t, "docs/debian.md"), []byte("\n"+strings.ReplaceAll(strings.TrimSpace(line), "./dist/", "./"))) {
			t.Errorf("%s: %q is not a command of docs/debian.md", file, line)
		}
	case "apt-get": // what the build needs, which the tests install, too
		for _, name := range w[2:] {
			if !strings.HasPrefix(name, "-") && !slices.Contains([]string{"git", "make"}, name) && !bytes.Contains(repoFile(t, "internal/mtatest/install.sh"), []byte("echo "+name+"\n")) {
				t.Errorf("%s: %q: install.sh does not install %s", file, line, name)
			}
		}
	case "systemctl":
		if last := w[len(w)-1]; !slices.Contains([]string{"unbound", "rsyslog"}, last) {
			unit(t, last+".service")
		}
	case "journalctl":
		if w[1] != "-u" || w[2] != "dmarcgate" {
			t.Errorf("%s: %q: not the unit of the daemon", file, line)
		}
	case "df":
		if w[len(w)-1] != example.StateDir {
			t.Errorf("%s: %q: not the folder of the store", file, line)
		}
	case "timedatectl":
	case "cd":
		if !bytes.Contains(repoFile(t, "Makefile"), []byte("package.sh "+w[1]+"\n")) {
			t.Errorf("%s: %q: make package does not make this directory", file, line)
		}
	default:
		t.Errorf("%s: %q: no test knows this command", file, line)
	}
}

func repoFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// goLine checks that the package and the test that a line names exist.
func goLine(t *testing.T, file string, w []string) {
	t.Helper()
	if w[1] == "version" {
		return
	}
	pkg := w[len(w)-1]
	sources, err := filepath.Glob(filepath.Join("../..", pkg, "*_test.go"))
	if err != nil || len(sources) == 0 {
		t.Errorf("%s: %q: no tests in %s", file, strings.Join(w, " "), pkg)
		return
	}
	i := slices.Index(w, "-run")
	if i < 0 {
		return
	}
	name, _, _ := strings.Cut(w[i+1], "/")
	for _, s := range sources {
		text, err := os.ReadFile(s)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("func "+name+"(")) {
			return
		}
	}
	t.Errorf("%s: %q: there is no %s in %s", file, strings.Join(w, " "), name, pkg)
}

func TestREADMEHasLinesForPostfix(t *testing.T) {
	found := blocks(t, "README.md", "main.cf")
	if len(found) != 1 || !strings.HasPrefix(found[0], "smtpd_milters = { unix:dmarcgate/milter.sock,") {
		t.Errorf("README.md has the main.cf blocks %q; want the one that the Postfix tests use", found)
	}
}

// The documents name files of the project; each must be there.
func TestDocumentsLinksExist(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	n := 0
	for _, file := range append(files, "../../README.md", "../../CHANGELOG.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			n++
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s: the link %s leads nowhere", file, m[1])
			}
		}
	}
	if n < 5 {
		t.Errorf("found %d links; want some", n)
	}
}

// Blocks of docs/debian.md that have no listener are for the file of the package.
func TestREADMEConfigurationLoads(t *testing.T) {
	for _, file := range []string{"README.md", "docs/debian.md"} {
		for _, text := range blocks(t, file, "toml") {
			if !strings.Contains(text, "[[listener]]") {
				text = blocks(t, "README.md", "toml")[0] + text
			}
			if c, err := config.Parse(file, []byte(text)); err != nil || len(c.Warnings()) > 0 {
				t.Errorf("%s: Parse = %v; want a configuration without warnings\n%s", file, err, text)
			}
		}
	}
}
