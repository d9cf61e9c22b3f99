package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/config"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/policy"
	"dmarcgate/site"
)

// command runs the program in process.
func command(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, &out, &err)
	return code, out.String(), err.String()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommandsExitWithTheirCode(t *testing.T) {
	good := write(t, "good.toml", "[[listener]]\nname = \"mta\"\naddress = \"unix:/run/x.sock\"\nprofile = \"monitor\"\n")
	bad := write(t, "bad.toml", "authserv_id = \"mx.example\"\n[[listener]]\nname = \"mta\"\naddress = \"unix:/run/x.sock\"\nprofil = \"monitor\"\n")
	tests := []struct {
		name string
		args []string
		code int
		text string // in stdout or stderr
	}{
		{"version", []string{"version"}, 0, "dmarcgate devel"},
		{"version as JSON", []string{"version", "--json"}, 0, `"version":"devel"`},
		{"help", []string{"--help"}, 0, "Run the daemon."},
		{"no command", nil, 2, "--help"},
		{"an unknown command", []string{"sevre"}, 2, "sevre"},
		{"an unknown flag", []string{"serve", "--confg", "x"}, 2, "--confg"},
		{"a good configuration", []string{"check-config", "--no-host", "-c", good}, 0, "listener mta: unix:/run/x.sock, profile monitor"},
		{"a wrong key", []string{"check-config", "-c", bad}, 2, bad + ":5: listener.profil: unknown key; did you mean \"profile\"?"},
		{"a wrong key as JSON", []string{"check-config", "-c", bad, "--json"}, 2, `"line":5`},
		{"no configuration", []string{"check-config", "-c", "/nonexistent.toml"}, 2, "/nonexistent.toml"},
		{"serve with a wrong key", []string{"serve", "-c", bad}, 2, "did you mean"},
		{"explain without an envelope", []string{"explain", good}, 2, "--client"},
		{"explain with a wrong address", []string{"explain", good, "--client", "x", "--helo", "h", "--mail-from", "a@b.example"}, 2, "--client"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := command(tt.args...)
			if code != tt.code || !strings.Contains(stdout+stderr, tt.text) {
				t.Errorf("run(%q) = %d, %q, %q; want %d and %q", tt.args, code, stdout, stderr, tt.code, tt.text)
			}
		})
	}
}

const toolZone = `
bank.example.             TXT "v=spf1 -all"
_dmarc.bank.example.      TXT "v=DMARC1; p=reject; sp=quarantine; pct=abc"
news.bank.example.        A   192.0.2.1
stranger.example.         A   192.0.2.1
_dmarc.shop.example.      TXT "v=DMARC1; p=reject; rua=mailto:dmarc@shop.example"
!servfail _dmarc.broken.example
`

// toolConfig is a configuration of the commands that work without the daemon.
func toolConfig(t *testing.T, dns string) string {
	t.Helper()
	return write(t, "dmarcgate.toml", fmt.Sprintf("authserv_id = \"mx.receiver.example\"\nstate_dir = %q\n[[listener]]\nname = \"mta\"\naddress = \"unix:/run/x.sock\"\nprofile = \"strict\"\n[dns]\nservers = [%q]\n", t.TempDir(), dns))
}

func TestDemoShowsMessages(t *testing.T) {
	code, out, stderr := command("demo", "--json")
	var got []outcome
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatalf("demo --json = %d, %v, %s", code, err, stderr)
	}
	if len(got) < 12 {
		t.Fatalf("demo shows %d messages; want at least 12", len(got))
	}
	answers := make(map[string]int)
	for _, o := range got {
		if o.What == "" || o.Verdict == "" || o.Why == "" || o.Answer == "" {
			t.Errorf("line %+v lacks something", o)
		}
		answers[strings.Fields(o.Answer)[0]]++
	}
	for _, want := range []string{"accept,", "accept", "tag", "550", "451"} {
		if answers[want] == 0 {
			t.Errorf("no message of the demo is answered %q: %v", want, answers)
		}
	}
}

func TestDemoKeep(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := (&demoCmd{Keep: true}).run(ctx, &env{stdout: w, stderr: io.Discard})
		w.Close()
		done <- err
	}()
	text := readUntil(t, r, "metrics  ")
	url := strings.Fields(text[strings.Index(text, "metrics  "):])[1]
	go io.Copy(io.Discard, r)
	if code, body := daemontest.Get(t, url); code != 200 || !strings.Contains(body, `dmarcgate_milter_messages_total{action="reject",listener="strict"}`) {
		t.Errorf("GET %s = %d; want 200 and the counters", url, code)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("demo --keep = %v; want nil", err)
	}
}

// readUntil reads lines until one begins with prefix.
func readUntil(t *testing.T, r io.Reader, prefix string) string {
	t.Helper()
	var text []byte
	buf := make([]byte, 1)
	for {
		if _, err := r.Read(buf); err != nil {
			t.Fatalf("read %q, then %v; want a line that begins with %q", text, err, prefix)
		}
		text = append(text, buf[0])
		if i := bytes.LastIndex(text, []byte("\n"+prefix)); i >= 0 && bytes.HasSuffix(text, []byte("\n")) && len(text) > i+1 {
			return string(text)
		}
	}
}

// serving runs serve until the test ends, and returns its log.
func serving(t *testing.T, path string) *daemontest.Buffer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log := &daemontest.Buffer{}
	done := make(chan error, 1)
	go func() { done <- serve(ctx, path, &env{stdout: io.Discard, stderr: log}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve = %v; want nil after SIGTERM", err)
		}
		if !strings.Contains(log.String(), "msg=stopped") {
			t.Errorf("log has no line that serve has stopped:\n%s", log)
		}
	})
	return log
}

// freeAddr returns a loopback address that nobody uses.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func serveConfig(t *testing.T, milter, web, dns string) string {
	t.Helper()
	return write(t, "dmarcgate.toml", fmt.Sprintf(`
authserv_id = "mx.receiver.example"
state_dir = %q
[[listener]]
name = "mta"
address = %q
profile = "strict"
[dns]
servers = [%q]
query_timeout = "100ms"
timeout = "200ms"
[admin]
listen = %q
`, t.TempDir(), milter, dns, web))
}

func TestServeAnswersMailOverTCPAndStopsOnSIGTERM(t *testing.T) {
	dns := dnstest.New(t, toolZone+". NS ns.example.\n!any\n")
	addr, web := freeAddr(t), freeAddr(t)
	serving(t, serveConfig(t, "tcp:"+addr, web, dns.Addr()))
	daemontest.Eventually(t, "readiness", func() bool {
		res, err := http.Get("http://" + web + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == 200
	})
	c, err := miltertest.Dial("tcp:"+addr, miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	res, err := c.Send(miltertest.Mail{Client: demoThirdParty, Helo: "h", From: "x@stranger.example", Rcpts: []string{"u@receiver.example"}, QueueID: "4X", Message: []byte("From: x@bank.example\r\n\r\nhi\r\n")})
	if err != nil || res.Code != 550 {
		t.Errorf("Send() = %+v, %v; want 550", res, err)
	}
}

func TestServeReportsNameServersThatDoNotAnswerAndDefersMail(t *testing.T) {
	addr, web := freeAddr(t), freeAddr(t)
	log := serving(t, serveConfig(t, "tcp:"+addr, web, freeAddr(t)))
	daemontest.Eventually(t, "the log line", func() bool { return strings.Contains(log.String(), "no name server answers") })
	if code, body := daemontest.Get(t, "http://"+web+"/readyz"); code != 503 || !strings.Contains(body, "fail resolver") {
		t.Errorf("GET /readyz = %d, %q; want 503 for the resolver", code, body)
	}
	if code, _ := daemontest.Get(t, "http://"+web+"/healthz"); code != 200 {
		t.Errorf("GET /healthz = %d; want 200", code)
	}
	c, err := miltertest.Dial("tcp:"+addr, miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	res, err := c.Send(miltertest.Mail{Client: demoThirdParty, Helo: "h", From: "x@stranger.example", Rcpts: []string{"u@receiver.example"}, QueueID: "4X", Message: []byte("From: x@bank.example\r\n\r\nhi\r\n")})
	if err != nil || res.Code != 451 { // it takes 30 s to prove that they answer nobody
		t.Errorf("Send() = %+v, %v; want 451", res, err)
	}
}

func TestServeNamesSocketThatCannotBeOpened(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, milter := range []string{"tcp:" + busy.Addr().String(), "unix:/nonexistent/milter.sock"} {
		code, _, stderr := command("serve", "-c", serveConfig(t, milter, "", freeAddr(t)))
		if code != 1 || !strings.Contains(stderr, strings.TrimPrefix(milter, "unix:")[4:]) || !strings.Contains(stderr, "listener mta") {
			t.Errorf("serve on %s = %d, %q; want 1, the listener and its address", milter, code, stderr)
		}
	}
	code, _, stderr := command("serve", "-c", serveConfig(t, "tcp:127.0.0.1:0", busy.Addr().String(), freeAddr(t)))
	if code != 1 || !strings.Contains(stderr, "admin listener") {
		t.Errorf("serve with a busy admin address = %d, %q; want 1 and that it is the admin listener", code, stderr)
	}
}

func TestServeKeepsSamplingSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sampling.key")
	first, err := site.SamplingSecret(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := site.SamplingSecret(path)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("loadSecret again = %x, %v; want %x", second, err, first)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v; want 0600", info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("files = %v, %v; want the secret only", entries, err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := site.SamplingSecret(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("loadSecret of a short one = %v; want an error that names the file", err)
	}
}

func TestServeWithExampleConfiguration(t *testing.T) {
	text, err := os.ReadFile("../../deploy/dmarcgate.toml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("deploy/dmarcgate.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Listeners[0].Profile != policy.Monitor || (site.Site{Config: cfg}).Policy(cfg.Listeners[0]).Profile.String() != "monitor" {
		t.Errorf("profile of the example = %s; want monitor", cfg.Listeners[0].Profile)
	}
}
