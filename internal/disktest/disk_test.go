package disktest

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// trace is as strace writes it, with all text as \x00.
const trace = `7 write(2<\x2f\x64\x2f\x6c>, "\x41\x42", 2) = 2
7 pwrite64(3<\x2f\x64\x2f\x61>, "\x41\x42\x0a", 3, 1) = 3
8 fdatasync(3<\x2f\x64\x2f\x61> <unfinished ...>
7 pwrite64(4<\x2f\x64\x2f\x62>, "\x41\x42", 2, 0) = 1
8 <... fdatasync resumed>) = 0
7 ftruncate(3<\x2f\x64\x2f\x61>, 2) = 0
7 pwrite64(3<\x2f\x64\x2f\x61>, "\x41", 1, 0) = -1 ENOSPC (No space left on device)
7 fsync(9<\x2f\x65>) = 0
7 unlink("\x2f\x64\x2f\x62") = 0
7  +++ exited with 0 +++
`

func TestATraceIsRead(t *testing.T) {
	got, err := Parse(strings.NewReader(trace), "/d")
	want := []Op{
		{Write, "/d/l", -1, []byte("AB")}, {Write, "/d/a", 1, []byte("AB\n")}, {Write, "/d/b", 0, []byte("A")},
		{Sync, "/d/a", 0, nil}, {Truncate, "/d/a", 2, nil}, {Remove, "/d/b", 0, nil},
	}
	same := func(a, b Op) bool {
		return a.Kind == b.Kind && a.Path == b.Path && a.At == b.At && bytes.Equal(a.Data, b.Data)
	}
	if err != nil || !slices.EqualFunc(got, want, same) {
		t.Errorf("Parse() = %v, %v; want %v", got, err, want)
	}
	if !Exited([]byte(trace), 7) || Exited([]byte(trace), 8) {
		t.Error("Exited() of 7 and 8 is not true and false")
	}
}

func TestACallThatIsNotKnownIsAnError(t *testing.T) {
	for _, line := range []string{
		`7 pwritev(3<\x2f\x64\x2f\x61>, [{iov_base="\x41", iov_len=1}], 1, 0) = 1`,
		`7 rename("\x2f\x64\x2f\x61", "\x2f\x64\x2f\x62") = 0`,
		`7 write(3<\x2f\x64\x2f\x61>, "\x41"..., 9) = 9`,
	} {
		if ops, err := Parse(strings.NewReader(line), "/d"); err == nil {
			t.Errorf("Parse(%q) = %v; want an error", line, ops)
		}
	}
}

func TestAPowerCutLeavesWhatWasSyncedAndAnyOfTheRest(t *testing.T) {
	var d Disk
	for _, op := range []Op{
		{Write, "a", 0, bytes.Repeat([]byte("s"), 1000)}, {Sync, "a", 0, nil},
		{Write, "a", 400, bytes.Repeat([]byte("n"), 1000)}, {Write, "b", 0, []byte("x")},
	} {
		d.Do(op)
	}
	r := rand.New(rand.NewPCG(1, 1))
	if got := string(d.Killed()["a"]); got != strings.Repeat("s", 400)+strings.Repeat("n", 1000) {
		t.Errorf("after a kill: %q; want all that was written", got)
	}
	if got := d.Cut(r, 0); string(got["a"]) != strings.Repeat("s", 1000) || len(got) != 1 {
		t.Errorf("after a cut at the worst time: %q; want what was synced", got)
	}
	if got := d.Cut(r, 1); string(got["a"]) != string(d.Killed()["a"]) || string(got["b"]) != "x" {
		t.Errorf("after a cut at the best time: %q; want all that was written", got)
	}
	kinds := make(map[string]bool)
	for range 100 {
		a := d.Cut(r, 0.5)["a"]
		for i := range a { // sectors end at 512 and 1024
			if i > 400 && i < 1399 && i != 512 && i != 1000 && i != 1024 && i < len(a) && a[i] != a[i-1] {
				t.Fatalf("a sector is torn at %d", i)
			}
		}
		kinds[string(a)] = true
	}
	if len(kinds) != 8 {
		t.Errorf("%d different states of three sectors; want 8", len(kinds))
	}
}

func TestARemovedFileComesBackUntilItIsSynced(t *testing.T) {
	var d Disk
	r := rand.New(rand.NewPCG(1, 1))
	for _, op := range []Op{{Write, "a", 0, []byte("old")}, {Sync, "a", 0, nil}, {Remove, "a", 0, nil}} {
		d.Do(op)
	}
	if got := string(d.Cut(r, 0)["a"]); got != "old" {
		t.Errorf("after a cut: %q; want it back", got)
	}
	if got, there := d.Killed()["a"]; there {
		t.Errorf("after a kill: %q; want no file", got)
	}
	d.Do(Op{Write, "a", -1, []byte("n")})
	d.Do(Op{Sync, "a", 0, nil})
	if got := string(d.Cut(r, 0)["a"]); got != "n" {
		t.Errorf("after a sync: %q; want the new content alone", got)
	}
	d.Do(Op{Remove, "a", 0, nil})
	d.Do(Op{Write, "a", 0, []byte("newer")})
	d.Do(Op{Sync, ".", 0, nil})
	if got, there := d.Cut(r, 0)["a"]; there {
		t.Errorf("after a sync of the directory: %q; want neither the old content nor what was not synced", got)
	}
}
