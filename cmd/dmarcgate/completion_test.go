package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dmarcgate/internal/daemontest"
)

// completionSite makes a folder with the script of a shell in the file name, and
// with a program that the script calls for values: the program prints the first
// word of its arguments and what must never reach the shell.
func completionSite(t *testing.T, shell, name string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	code, script, stderr := command("completion", shell)
	if code != 0 {
		t.Fatalf("completion %s = %d, %s", shell, code, stderr)
	}
	stub := "#!/bin/sh\necho of-$1\ncase \"$*\" in *' -c other.toml') echo of-other ;; esac\necho '$(touch " + dir + "/ran)'\n"
	for file, text := range map[string]string{name: script, "dmarcgate": stub} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if _, err := os.Stat(dir + "/ran"); err == nil {
			t.Error("a value was run by the shell")
		}
	})
	return dir
}

// completeBash asks bash what the script offers at the end of a command line, in
// which the last word is being written.
func completeBash(t *testing.T, words ...string) []string {
	t.Helper()
	dir := completionSite(t, "bash", "script")
	var quoted []string
	for _, w := range append([]string{"dmarcgate"}, words...) {
		quoted = append(quoted, fmt.Sprintf("%q", w))
	}
	cmd := exec.Command("bash", "--norc", "-c", fmt.Sprintf(". "+dir+"/script\nCOMP_WORDS=(%s); COMP_CWORD=%d; _dmarcgate; printf '%%s\\n' \"${COMPREPLY[@]}\"", strings.Join(quoted, " "), len(words)))
	cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("bash: %v\n%s", err, out)
	}
	return strings.Fields(string(out))
}

// completions are command lines in the words of bash, which cuts at "=", with what
// is offered for the last word.
var completions = []struct {
	words []string
	want  []string
}{
	{[]string{"comp"}, []string{"completion"}},
	{[]string{"--v"}, []string{"--version"}},
	{[]string{"completion", ""}, []string{"bash", "zsh", "fish"}},
	{[]string{"tail", "--result", "p"}, []string{"pass", "permerror"}},
	{[]string{"tail", "--action", "=", "re"}, []string{"reject"}},
	{[]string{"tail", "--action", "="}, []string{"accept", "tag", "hold", "reject", "tempfail"}},
	{[]string{"tail", "--listener", ""}, []string{"of-listeners"}},
	{[]string{"tail", "-c", "other.toml", "--rule", ""}, []string{"of-rules", "of-other"}},
	{[]string{"explain", "--profile", "con"}, []string{"conformant"}},
	{[]string{"what-if", "--profile", "s"}, []string{"strict"}},
	{[]string{"cache", "dump", "--type", "M"}, []string{"MX"}},
	{[]string{"rules", "ex"}, []string{"explain"}},
	{[]string{"rules", "show", "of"}, []string{"of-rules"}},
	{[]string{"rules", "lint", "--d"}, []string{"--dir", "--dns"}},
	{[]string{"rules", "list", "--i"}, []string{"--ids"}},
	{[]string{"results", "export", "--format", ""}, []string{"jsonl", "csv"}},
	{[]string{"top", "new"}, []string{"new-senders"}},
	{[]string{"lookup", "--batch", ""}, nil}, // files, by complete -o default
	{[]string{"listen"}, nil},
}

func TestCompletionOffersValues(t *testing.T) {
	for _, tt := range completions {
		t.Run(strings.Join(tt.words, " "), func(t *testing.T) {
			t.Parallel()
			if got := completeBash(t, tt.words...); !slices.Equal(got, tt.want) {
				t.Errorf("completions = %q; want %q", got, tt.want)
			}
		})
	}
}

// Every option with a list of values has it in the scripts of all shells.
func TestCompletionHasTheValuesOfEveryOption(t *testing.T) {
	for _, w := range commandWords(commandLine(t)) {
		for _, f := range w.flags {
			if len(f.values) == 0 {
				continue
			}
			for shell, want := range map[string]string{
				"bash": fmt.Sprintf("%q", w.path+" "+f.names[0]),
				"fish": " -l " + f.names[0][2:],
			} {
				_, out, _ := command("completion", shell)
				if !slices.ContainsFunc(strings.Split(out, "\n"), func(line string) bool {
					return strings.Contains(line, want) && strings.Contains(line, strings.Join(f.values, " "))
				}) {
					t.Errorf("%s: no values of %s %s", shell, w.path, f.names[0])
				}
			}
		}
	}
}

func TestListenersPrintsTheirNames(t *testing.T) {
	cfg := daemontest.Config{}.Write(t, "127.0.0.1:1")
	if code, out, stderr := command("listeners", "-c", cfg); code != 0 || out != "mta\n" || stderr != "" {
		t.Errorf("listeners = %d, %q, %q; want mta", code, out, stderr)
	}
	if code, out, stderr := command("listeners", "-c", cfg+"x"); code != 0 || out != "" || stderr != "" {
		t.Errorf("listeners of no file = %d, %q, %q; want nothing", code, out, stderr)
	}
}
