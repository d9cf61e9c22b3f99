package main

import (
	"os"
	"strings"
	"testing"
)

var made = suite{"Made up", "auth/made", "TestMade", "section of RFC 1", noted}

func stream(t *testing.T, text string) []event {
	t.Helper()
	events, err := decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return events
}

const passed = `{"Action":"run","Package":"dmarcgate/auth/made","Test":"TestMade"}
{"Action":"run","Package":"dmarcgate/auth/made","Test":"TestMade/ten"}
{"Action":"attr","Package":"dmarcgate/auth/made","Test":"TestMade/ten","Key":"section","Value":"10.1"}
{"Action":"pass","Package":"dmarcgate/auth/made","Test":"TestMade/ten"}
{"Action":"run","Package":"dmarcgate/auth/made","Test":"TestMade/two/parts"}
{"Action":"attr","Package":"dmarcgate/auth/made","Test":"TestMade/two/parts","Key":"section","Value":"9.2"}
{"Action":"attr","Package":"dmarcgate/auth/made","Test":"TestMade/two/parts","Key":"deviates","Value":"RFC 2 | RFC 3"}
{"Action":"pass","Package":"dmarcgate/auth/made","Test":"TestMade/two/parts"}
{"Action":"run","Package":"dmarcgate/auth/made","Test":"TestMade/none"}
{"Action":"run","Package":"dmarcgate/auth/other","Test":"TestMade/elsewhere"}
{"Action":"run","Package":"dmarcgate/auth/made","Test":"TestMadeUp/other"}
`

func TestThePageCountsWhatRan(t *testing.T) {
	f, err := count(made, stream(t, passed))
	if err != nil || len(f.cases) != 3 {
		t.Fatalf("count() = %+v, %v; want 3 cases", f, err)
	}
	want := "| Made up | `auth/made` | 3 | 2 | 1 |\n" +
		"\n## Made up\n\n| section of RFC 1 | run | as expected |\n|---|---|---|\n| 9.2 | 1 | 0 |\n| 10.1 | 1 | 1 |\n| no section | 1 | 1 |\n" +
		"\n| deviation | why |\n|---|---|\n| `two/parts` | RFC 2 \\| RFC 3 |\n"
	if got := string(render([]found{f})); got != head+want {
		t.Errorf("render() = %s; want %s", got, head+want)
	}
}

func TestACaseThatDidNotPassIsAnError(t *testing.T) {
	for name, more := range map[string]string{
		"failed":  `{"Action":"fail","Package":"dmarcgate/auth/made","Test":"TestMade/ten"}`,
		"skipped": `{"Action":"skip","Package":"dmarcgate/auth/made","Test":"TestMade/ten"}`,
	} {
		if _, err := count(made, stream(t, passed+more)); err == nil || !strings.Contains(err.Error(), "ten") {
			t.Errorf("%s: count() = %v; want an error that names the case", name, err)
		}
	}
	if _, err := count(made, stream(t, `{"Action":"skip","Package":"dmarcgate/auth/made","Test":"TestMade"}`)); err == nil {
		t.Error("count() of a suite that did not run = nil; want an error")
	}
}

func TestWithoutDataThePageIsNotWritten(t *testing.T) {
	var out strings.Builder
	t.Setenv("DMARCGATE_TESTDATA", t.TempDir()+"/none")
	for _, check := range []bool{false, true} {
		if err := run(check, &out); err == nil || out.Len() > 0 {
			t.Errorf("run(%t) = %v, %q; want an error", check, err, out.String())
		}
	}
}

func TestACheckWithoutDataSaysThatItDidNotRun(t *testing.T) {
	t.Setenv("DMARCGATE_TESTDATA", "") // restored at the end
	if err := os.Unsetenv("DMARCGATE_TESTDATA"); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	var out strings.Builder
	if err := run(true, &out); err != nil || !strings.HasPrefix(out.String(), "conformance: NOT RUN") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("run(check) = %v, %q; want one line, NOT RUN", err, out.String())
	}
	if err := run(false, &out); err == nil {
		t.Error("run() without data = nil; want an error")
	}
}

func TestGroupsOfCases(t *testing.T) {
	for name, want := range map[string]string{"bad_1.txt": "bad", "badkey1_ed25519.txt": "badkey", "good": "good"} {
		if got := leadingName(kase{name: name}); got != want {
			t.Errorf("leadingName(%q) = %q; want %q", name, got, want)
		}
	}
	if got := firstWord(kase{name: "B.1.1_example_1"}); got != "B.1.1" {
		t.Errorf("firstWord() = %q; want B.1.1", got)
	}
}
