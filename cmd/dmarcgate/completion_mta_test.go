//go:build mta

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// zshDriver writes command lines into an interactive zsh, presses the tab key
// behind each, and prints what the completion offers, with "." at the end. Its
// arguments are the folder with the script, where compinit finds the script by its
// name as it finds that of the package, and the lines. The completion says by a
// pipe that it has ended.
const zshDriver = `dir=$1; shift
zmodload zsh/zpty
mkfifo $dir/ended
exec 3<>$dir/ended
zpty shell zsh -f -i
zpty -w shell "PS1= fpath=($dir \$fpath) path=($dir \$path) dir=$dir"
zpty -w shell 'cd $dir/empty; autoload -Uz compinit && compinit -u -D; bindkey -e'
zpty -w shell 'compadd() { local -a hits; builtin compadd -O hits "$@"; print -rl -- $hits >>$dir/offered; builtin compadd "$@" }'
zpty -w shell 'ended() { comppostfuncs=(ended); print >$dir/ended }; comppostfuncs=(ended)'
for line in "$@"; do
	: >$dir/offered
	zpty -w -n shell $'\x15'"$line"$'\t'
	read -u 3
	cat $dir/offered
	print .
done
zpty -d shell
`

// fishDriver asks fish for the same, which needs no terminal.
const fishDriver = `source $argv[1]/script
for line in $argv[2..]
	complete -C $line
	echo .
end
`

// inShell runs a driver in an empty folder, with no start file of a user, and
// returns what the shell offers for each line.
func inShell(t *testing.T, dir string, lines []string, shell ...string) (offered [][]string) {
	t.Helper()
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, shell[0], slices.Concat(shell[1:], []string{dir}, lines)...)
	cmd.Dir = empty
	cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "HOME=" + empty, "TERM=dumb"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", shell[0], err, out)
	}
	one := []string{}
	for line := range strings.Lines(string(out)) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), "\t") // fish describes it there
		switch word {
		case "":
		case ".":
			offered, one = append(offered, one), nil
		default:
			one = append(one, word)
		}
	}
	if len(offered) != len(lines) {
		t.Fatalf("%s answers %d lines of %d:\n%s", shell[0], len(offered), len(lines), out)
	}
	return offered
}

// zsh and fish offer what bash offers, in an order of their own, and the option
// before a value behind "=".
func TestCompletionInZshAndFish(t *testing.T) {
	var lines []string
	for _, tt := range completions {
		lines = append(lines, strings.NewReplacer(" = ", "=", " =", "=").Replace("dmarcgate "+strings.Join(tt.words, " ")))
	}
	for shell, offered := range map[string][][]string{
		"zsh":  inShell(t, completionSite(t, "zsh", "_dmarcgate"), lines, "zsh", "-f", "-c", zshDriver, "zsh"),
		"fish": inShell(t, completionSite(t, "fish", "script"), lines, "fish", "--no-config", "-c", fishDriver),
	} {
		for i, tt := range completions {
			got := offered[i]
			for n, word := range got {
				got[n] = strings.TrimPrefix(word, "--action=")
			}
			slices.Sort(got)
			if want := slices.Sorted(slices.Values(tt.want)); !slices.Equal(got, want) {
				t.Errorf("%s: completions of %q = %q; want %q", shell, lines[i], got, want)
			}
		}
	}
}
