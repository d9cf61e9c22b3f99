package bounce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/report/verp"
)

const domain = "reports.receiver.example"

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// shelf is a store of bounces in memory.
type shelf struct {
	mu      sync.Mutex
	bounces []Bounce
	err     error
}

func (s *shelf) handle(_ context.Context, b Bounce) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.bounces = append(s.bounces, b)
	return nil
}

func (s *shelf) all() []Bounce {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Bounce(nil), s.bounces...)
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func key(t testing.TB) verp.Key {
	t.Helper()
	k, err := verp.NewKey(bytes.Repeat([]byte{7}, verp.MinKey))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func intake(t testing.TB, s *shelf) Intake {
	return Intake{Key: key(t), Domain: domain, Handle: s.handle, Now: func() time.Time { return now }}
}

// show writes a bounce as the first line of a case has it.
func show(b Bounce) string {
	kind := string(b.Kind)
	if b.Kind == Answer {
		kind = "answer"
	}
	return fmt.Sprintf("%s %q %q %q", kind, b.Status, b.MTA, b.Text)
}

// mails returns the cases: a file is the expected bounce on a line of its own,
// and the mail.
func mails(t testing.TB) map[string][2]string {
	t.Helper()
	paths, err := filepath.Glob("testdata/mails/*.txt")
	if err != nil || len(paths) < 15 {
		t.Fatalf("%d mails, %v; want at least 15", len(paths), err)
	}
	out := map[string][2]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, mail, _ := strings.Cut(string(text), "\n")
		out[strings.TrimSuffix(filepath.Base(path), ".txt")] = [2]string{want, strings.ReplaceAll(mail, "\n", "\r\n")}
	}
	return out
}

func TestReadFindsWhatHasFailed(t *testing.T) {
	for name, c := range mails(t) {
		if got := show(read([]byte(c[1]))); got != c[0] {
			t.Errorf("%s: read() = %s; want %s", name, got, c[0])
		}
	}
}

func TestReadLooksAtABoundedPart(t *testing.T) {
	const head = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
	const status = "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
	const failed = "Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"
	part := "--b\r\nContent-Type: text/plain\r\n\r\nwords\r\n"
	for name, c := range map[string]struct {
		mail string
		want Kind
	}{
		"ninth part":                   {head + strings.Repeat(part, 9) + status + failed + "--b--\r\n", Failed},
		"eleventh part":                {head + strings.Repeat(part, 10) + status + failed + "--b--\r\n", Answer},
		"64 KiB of header":             {"X: " + strings.Repeat("a", 60<<10) + "\r\n" + head + status + failed + "--b--\r\n", Failed},
		"more than 64 KiB of header":   {"X: " + strings.Repeat("a", 64<<10) + "\r\n" + head + status + failed + "--b--\r\n", Answer},
		"hundredth recipient":          {head + status + strings.Repeat("Action: relayed\r\n\r\n", 99) + failed + "--b--\r\n", Failed},
		"hundred and first recipient":  {head + status + strings.Repeat("Action: relayed\r\n\r\n", 100) + failed + "--b--\r\n", Passed},
		"beyond 64 KiB of the notice":  {head + status + "X: " + strings.Repeat("a", 64<<10) + "\r\n\r\n" + failed + "--b--\r\n", Answer},
		"a notice within another mail": {head + "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n" + strings.ReplaceAll(status+failed, "--b", "--c") + "--c--\r\n--b--\r\n", Answer},
	} {
		if got := read([]byte(c.mail)); got.Kind != c.want {
			t.Errorf("%s: read() = %s; want kind %q", name, show(got), c.want)
		}
	}
}

var code = regexp.MustCompile(`^([245]\.[0-9]{1,3}\.[0-9]{1,3})?$`)

// Whatever a mail holds, what is kept of it is short, printable and of a known
// kind.
func FuzzRead(f *testing.F) {
	for _, c := range mails(f) {
		f.Add([]byte(c[1]))
	}
	f.Fuzz(func(t *testing.T, mail []byte) {
		b := read(mail)
		if _, known := weight[b.Kind]; !known || !code.MatchString(b.Status) {
			t.Errorf("kind %q, status %q", b.Kind, b.Status)
		}
		for _, text := range []string{b.MTA, b.Text} {
			if len(text) > maxText || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("text %q", text)
			}
		}
		if b.Kind == Answer && b != (Bounce{}) {
			t.Errorf("an answer has %+v", b)
		}
	})
}

// maildir makes a maildir with files in new.
func maildir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, folder := range []string{"tmp", "new", "cur"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// list names the files of a maildir.
func list(t *testing.T, dir string) string {
	t.Helper()
	paths, err := filepath.Glob(dir + "/*/*")
	if err != nil {
		t.Fatal(err)
	}
	for i := range paths {
		paths[i] = strings.TrimPrefix(paths[i], dir+"/")
	}
	return strings.Join(paths, " ")
}

func TestSweepMovesAfterTheCommit(t *testing.T) {
	notice := mails(t)["postfix-user-unknown"][1]
	k := key(t)
	to := func(delivery string) string { return k.Address(delivery, now, domain) }
	dir := maildir(t, map[string]string{
		"new/1.delivered-to:2,": "Delivered-To: " + to("one") + "\r\n" + notice,
		"new/2.original":        "X-Original-To: " + to("two") + "\r\n" + notice,
		"new/3.to":              "To: <" + to("three") + ">\r\n" + notice,
		"new/4.person":          "To: dmarc@" + domain + "\r\n\r\nhello\r\n",
		"new/5.forged":          "To: b+aaaaaaaaaaaaaaaaaaaa@" + domain + "\r\n" + notice,
		"new/6.old":             "To: " + k.Address("old", now.AddDate(0, 0, -32), domain) + "\r\n" + notice,
		"new/7.answer":          "To: people@b.example, " + to("seven") + "\r\n\r\nI am away\r\n",
		"new/.hidden":           "To: " + to("hidden") + "\r\n" + notice,
		"tmp/8.unfinished":      "To: " + to("eight") + "\r\n" + notice,
	})
	if err := os.Symlink("/etc/passwd", dir+"/new/9.link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/new/a.folder", 0o700); err != nil {
		t.Fatal(err)
	}
	full := &shelf{err: ErrFull}
	if n, err := intake(t, full).Sweep(t.Context(), dir); n != 0 || !errors.Is(err, ErrFull) {
		t.Errorf("Sweep() without space = %d, %v; want 0 and %v", n, err, ErrFull)
	}
	const before = "new/.hidden new/1.delivered-to:2, new/2.original new/3.to new/4.person new/5.forged new/6.old new/7.answer new/9.link new/a.folder tmp/8.unfinished"
	if got := strings.ReplaceAll(list(t, dir), "new/.hidden ", ""); got != strings.ReplaceAll(before, "new/.hidden ", "") {
		t.Errorf("after a Sweep without space there are %s", got)
	}
	s := &shelf{}
	n, err := intake(t, s).Sweep(t.Context(), dir)
	if n != 8 || err == nil { // the link leads out of the maildir
		t.Errorf("Sweep() = %d, %v; want 8, and an error about the link", n, err)
	}
	got := strings.Join(strings.Fields(strings.ReplaceAll(list(t, dir), "new/.hidden", "")), " ")
	const after = "cur/1.delivered-to:2,S cur/2.original:2,S cur/3.to:2,S cur/4.person:2,S cur/5.forged:2,S cur/6.old:2,S cur/7.answer:2,S cur/a.folder:2,S new/9.link tmp/8.unfinished"
	if got != after {
		t.Errorf("after a Sweep there are %s; want %s", got, after)
	}
	want := []Bounce{
		{Token: k.Token("one", now), Kind: Failed}, {Token: k.Token("two", now), Kind: Failed},
		{Token: k.Token("three", now), Kind: Failed}, {Token: k.Token("seven", now), Kind: Answer},
	}
	bounces := s.all()
	if len(bounces) != len(want) {
		t.Fatalf("%d bounces; want %d: %+v", len(bounces), len(want), bounces)
	}
	for i, b := range bounces {
		if b.Token != want[i].Token || b.Kind != want[i].Kind || b.Received != now {
			t.Errorf("bounce %d is %+v; want %+v", i+1, b, want[i])
		}
	}
}

func TestSweepOfNoMaildirIsAnError(t *testing.T) {
	if _, err := intake(t, &shelf{}).Sweep(t.Context(), filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("Sweep() of a missing folder has no error")
	}
	if _, err := intake(t, &shelf{}).Sweep(t.Context(), t.TempDir()); err == nil {
		t.Error("Sweep() of a folder without new has no error")
	}
}
