//go:build mta

package bounce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/childtest"
	"dmarcgate/internal/mtatest"
	"dmarcgate/milter"
	"dmarcgate/report/verp"
)

// postfixSocket is a socket that Postfix can connect to, as the documents say:
// 0660, of the group of Postfix.
func postfixSocket(path string) (milter.Socket, error) {
	group, err := user.LookupGroup("postfix")
	if err != nil {
		return milter.Socket{}, err
	}
	gid, err := strconv.Atoi(group.Gid)
	return milter.Socket{Network: "unix", Addr: path, Mode: 0o660, UID: -1, GID: gid}, err
}

// listen opens the socket for Postfix.
func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	socket, err := postfixSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	l, err := socket.Listen()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// startMTA starts a Postfix that delivers the return paths to an LMTP socket. The
// MX of receiver.example, another port, refuses two of its users.
func startMTA(t *testing.T, transport string, more ...string) *mtatest.Postfix {
	t.Helper()
	port, err := childtest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	mx := fmt.Sprintf("127.0.0.1:%d", port)
	return mtatest.StartPostfix(t, mtatest.PostfixConfig{
		MainCF: fmt.Sprintf("transport_maps = inline:{{nobody@receiver.example=smtp:[127.0.0.1]:%[1]d} {quota@receiver.example=smtp:[127.0.0.1]:%[1]d} {%[2]s=%[3]s}}\n", port, domain, transport) +
			"relay_domains = " + domain + "\n" +
			"refused = check_recipient_access inline:{{nobody@receiver.example=550 5.1.1 user unknown} {quota@receiver.example=552 5.2.2 mailbox full}}\n" +
			"minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\n" + strings.Join(more, ""),
		MasterCF: "lmtp unix - - n - - lmtp\nvirtual unix - n n - - virtual\n" +
			mx + " inet n - n - 10 smtpd -o myhostname=mx.bank.example -o smtpd_recipient_restrictions=$refused,reject_unauth_destination\n",
	})
}

func send(t *testing.T, p *mtatest.Postfix, from, to string) {
	t.Helper()
	r, err := p.Send(mtatest.Client{}, mtatest.Mail{From: from, Rcpts: []string{to}, Data: []byte("Subject: Report Domain: bank.example\r\n\r\nbody\r\n")})
	if err != nil || !r.OK() {
		t.Fatalf("mail to %s: %v, %v", to, r, err)
	}
}

// Real notices of Postfix come back to the return path, and to no other.
func TestBouncesOfARealPostfix(t *testing.T) {
	socket := filepath.Join(mtatest.Dir(t), "lmtp")
	s, arrived := &shelf{}, make(chan Bounce, 10)
	in := intake(t, s)
	in.Handle = func(_ context.Context, b Bounce) error { arrived <- b; return nil }
	in.Now = time.Now
	l := listen(t, socket)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Serve(ctx, l, slog.New(slog.DiscardHandler)) }()
	p := startMTA(t, "lmtp:unix:"+socket)
	k := in.Key
	for name, tt := range map[string]struct{ to, status, text string }{
		"unknown user": {"nobody@receiver.example", "5.1.1", "550 5.1.1 <nobody@receiver.example>: Recipient address rejected: user unknown"},
		"full mailbox": {"quota@receiver.example", "5.2.2", "552 5.2.2 <quota@receiver.example>: Recipient address rejected: mailbox full"},
	} {
		send(t, p, k.Address(name, time.Now(), domain), tt.to)
		select {
		case b := <-arrived:
			if b.Token != k.Token(name, b.Received) || b.Kind != Failed || b.Status != tt.status || b.MTA != "127.0.0.1" || b.Text != tt.text {
				t.Errorf("%s: %+v; want status %s of 127.0.0.1, %q", name, b, tt.status, tt.text)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: no bounce came\n%s", name, p.Log())
		}
	}
	// A forged or an old return path: Postfix is refused, and gives up.
	for name, from := range map[string]string{
		"forged": "b+aaaaaaaaaaaaaaaaaaaa@" + domain,
		"old":    k.Address("old", time.Now().AddDate(0, 0, -40), domain),
	} {
		send(t, p, from, "nobody@receiver.example")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if _, err := p.WaitLog(ctx, "postfix/lmtp", "to=<"+from+">", "status=bounced", "550 5.1.1"); err != nil {
			t.Errorf("%s: %v\n%s", name, err, p.Log())
		}
		cancel()
	}
	if len(arrived) > 0 {
		t.Errorf("a forged return path has a bounce: %+v", <-arrived)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// swaks sends one mail over LMTP and returns its exit status and its output.
func swaks(t *testing.T, socket, to, data string) (int, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mail")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(data, "\r\n", "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("swaks", "--protocol", "LMTP", "--socket", socket, "--from", "<>", "--to", to, "--data", "@"+file).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		return exit.ExitCode(), string(out)
	}
	return 0, string(out)
}

func TestServeTalksToSwaks(t *testing.T) {
	s := &shelf{}
	socket, _ := serve(t, intake(t, s))
	notice := mails(t)["postfix-user-unknown"][1]
	to := key(t).Address("one", now, domain)
	if status, out := swaks(t, socket, to, notice); status != 0 || len(s.all()) != 1 || s.all()[0].Kind != Failed {
		t.Errorf("swaks ends with %d, bounces %+v; want 0 and one failure\n%s", status, s.all(), out)
	}
	if status, out := swaks(t, socket, "b+aaaaaaaaaaaaaaaaaaaa@"+domain, notice); status != 24 || !strings.Contains(out, "550 5.1.1") {
		t.Errorf("a forged return path: swaks ends with %d; want 24 (no recipient was accepted)\n%s", status, out)
	}
	s.fail(ErrFull)
	if status, out := swaks(t, socket, to, notice); status == 0 || !strings.Contains(out, "452 4.3.1") {
		t.Errorf("without space: swaks ends with %d; want 452\n%s", status, out)
	}
	if len(s.all()) != 1 {
		t.Errorf("bounces %+v; want one", s.all())
	}
}

// crashAtCommit is in the environment of the child that dies between the commit
// and the answer: the folder of its socket and of its store.
const crashAtCommit = "BOUNCE_CRASH_AT_COMMIT"

// folder is a store that counts a token once: a file of its name.
func folder(dir string) Handler {
	return func(_ context.Context, b Bounce) error {
		f, err := os.OpenFile(filepath.Join(dir, b.Token), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return os.WriteFile(filepath.Join(dir, "again"), nil, 0o600)
		}
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	}
}

// TestMain is the child in the process that TestCrashBetweenCommitAndAnswerStoresOnce starts.
func TestMain(m *testing.M) {
	dir := os.Getenv(crashAtCommit)
	if dir == "" {
		os.Exit(m.Run())
	}
	fmt.Fprintln(os.Stderr, crash(dir))
	os.Exit(1)
}

// crash serves until a bounce is committed, and kills the process.
func crash(dir string) error {
	secret := bytes.Repeat([]byte{7}, verp.MinKey)
	k, err := verp.NewKey(secret)
	if err != nil {
		return err
	}
	store := folder(filepath.Join(dir, "store"))
	in := Intake{Key: k, Domain: domain, Handle: func(ctx context.Context, b Bounce) error {
		if err := store(ctx, b); err != nil {
			return err
		}
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			return err
		}
		return errors.Join(self.Kill(), fmt.Errorf("%v was killed", self.Pid))
	}}
	socket, err := postfixSocket(filepath.Join(dir, "lmtp"))
	if err != nil {
		return err
	}
	l, err := socket.Listen()
	if err != nil {
		return err
	}
	fmt.Println("listening")
	return in.Serve(context.Background(), l, slog.New(slog.DiscardHandler))
}

// The process dies when the bounce is stored and Postfix has no answer. Postfix
// tries again, and the bounce counts once.
func TestCrashBetweenCommitAndAnswerStoresOnce(t *testing.T) {
	dir := mtatest.Dir(t)
	store := filepath.Join(dir, "store")
	if err := os.Mkdir(store, 0o755); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashAtCommit+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 100)); err != nil { // "listening"
		t.Fatal(err)
	}
	p := startMTA(t, "lmtp:unix:"+filepath.Join(dir, "lmtp"))
	in := intake(t, &shelf{})
	in.Now, in.Handle = time.Now, folder(store)
	send(t, p, in.Key.Address("one", time.Now(), domain), "nobody@receiver.example")
	if err := child.Wait(); err == nil || child.ProcessState.Success() {
		t.Fatal("the child was not killed")
	}
	if names := files(t, store); len(names) != 1 {
		t.Fatalf("after the crash there are %v; want one bounce", names)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := p.WaitLog(ctx, "postfix/lmtp", "status=deferred"); err != nil {
		t.Fatalf("%v\n%s", err, p.Log())
	}
	l := listen(t, filepath.Join(dir, "lmtp"))
	over, end := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Serve(over, l, slog.New(slog.DiscardHandler)) }()
	if err := childtest.Poll(ctx, func() bool { // the log comes before the queue
		if _, err := p.Command("postqueue", "-f"); err != nil {
			t.Error(err)
		}
		return strings.Contains(p.Log(), "status=sent")
	}); err != nil {
		t.Fatalf("%v\n%s", err, p.Log())
	}
	end()
	if err := <-done; err != nil {
		t.Error(err)
	}
	names := files(t, store)
	if len(names) != 2 || !slices.Contains(names, "again") {
		t.Errorf("there are %v; want one bounce, which came again", names)
	}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		names = append(names, f.Name())
	}
	return names
}

// Postfix delivers a notice to a maildir by virtual(8); Sweep takes it.
func TestSweepOfAMaildirOfPostfix(t *testing.T) {
	dir := mtatest.Dir(t)
	owner, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, -1); err != nil {
		t.Fatal(err)
	}
	p := startMTA(t, "virtual:", "virtual_mailbox_domains =\nvirtual_mailbox_limit = 0\nvirtual_mailbox_base = "+dir+"\nvirtual_mailbox_maps = static:bounces/\n"+
		"virtual_uid_maps = static:"+owner.Uid+"\nvirtual_gid_maps = static:"+owner.Uid+"\n")
	s := &shelf{}
	in := Intake{Key: key(t), Domain: domain, Handle: s.handle}
	send(t, p, in.Key.Address("one", time.Now(), domain), "nobody@receiver.example")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := p.WaitLog(ctx, "postfix/virtual", "status=sent"); err != nil {
		t.Fatalf("%v\n%s", err, p.Log())
	}
	n, err := in.Sweep(t.Context(), filepath.Join(dir, "bounces"))
	if err != nil || n != 1 {
		t.Fatalf("Sweep() = %d, %v; want 1", n, err)
	}
	if b := s.all(); len(b) != 1 || b[0].Kind != Failed || b[0].Status != "5.1.1" || b[0].Token == "" {
		t.Errorf("bounces %+v; want a failure", b)
	}
	if n, err := in.Sweep(t.Context(), filepath.Join(dir, "bounces")); err != nil || n != 0 {
		t.Errorf("Sweep() again = %d, %v; want 0", n, err)
	}
}

// The lines of the page make a Postfix, whose lmtp is in a chroot, pass bounces to
// the daemon and other mail to people, and refuse the rest to the client.
func TestPageConnectsPostfix(t *testing.T) {
	page, err := os.ReadFile("../../docs/report-mail.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "\n```main.cf\n")
	block, _, closed := strings.Cut(rest, "\n```\n")
	if !found || !closed {
		t.Fatal("docs/report-mail.md has no lines for main.cf")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const port = "127.0.0.1:2424"
	if !strings.Contains(block, "lmtp:inet:"+port) || !strings.Contains(string(page), `bounce_listen = "tcp:`+port+`"`) {
		t.Fatalf("the lines for main.cf and the key bounce_listen do not name %s:\n%s", port, block)
	}
	p := mtatest.StartPostfix(t, mtatest.PostfixConfig{
		MainCF:   strings.ReplaceAll(block, port, l.Addr().String()) + "\nmydestination = example.org\n",
		MasterCF: "lmtp unix - - y - - lmtp\n",
	})
	s := &shelf{}
	in := Intake{Key: key(t), Domain: "reports.example.org", Handle: s.handle}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Serve(ctx, l, slog.New(slog.DiscardHandler)) }()
	waiting, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for to, want := range map[string]struct {
		code int
		log  string
	}{
		in.Key.Address("one", time.Now(), "reports.example.org"): {250, "postfix/lmtp"},
		"dmarc-reports@reports.example.org":                      {250, "orig_to=<dmarc-reports@reports.example.org>"},
		"b+short@reports.example.org":                            {550, ""},
		"someone@reports.example.org":                            {550, ""},
	} {
		r, err := p.Send(mtatest.Client{Addr: "192.0.2.9"}, mtatest.Mail{Rcpts: []string{to}, Data: []byte("Subject: x\r\n\r\nanswer\r\n")})
		if err != nil || r.Code != want.code {
			t.Errorf("mail to %s: %v, %v; want %d", to, r, err, want.code)
		}
		if want.log != "" {
			if _, err := p.WaitLog(waiting, want.log, "status=sent"); err != nil {
				t.Errorf("mail to %s: %v\n%s", to, err, p.Log())
			}
		}
	}
	if b := s.all(); len(b) != 1 || b[0].Kind != Answer {
		t.Errorf("bounces %+v; want one answer", b)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
