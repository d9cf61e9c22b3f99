// Package transfer reads the configuration files of other programs within their reach,
// has package migrate turn them into ours, checks what came of them as check-config and
// rules lint do, and prints or writes the files.
//
// Files that a configuration names are read only below the directory of that
// configuration, below ReachAlways and below the directories that the caller allows;
// symbolic links do not lead out of them.
//
// Failures: nothing is written when one of the files is there already, or when the
// check refuses what would be written; files that were made are removed when another
// one cannot be.
package transfer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dmarcgate/migrate"
	"dmarcgate/site"
	"dmarcgate/term"
)

// ReachAlways is where distributions keep the public suffix list.
const ReachAlways = "/usr/share/publicsuffix"

// Options are those of Run.
type Options struct {
	From   func(migrate.Input) migrate.Result // the other program
	Name   string                             // of the rule file, without ".toml"
	Config string                             // configuration file of the other program
	Files  []string                           // directories below which further files are read
	Write  string                             // directory to write to; "" prints
}

// Run prints the files, or writes them; remarks and findings go to warn.
func Run(out, warn io.Writer, o Options) error {
	text, err := readFile(o.Config)
	if err != nil {
		return err
	}
	host, _ := os.Hostname() // "" is told by check-config
	r := reach{dirs: append([]string{filepath.Dir(o.Config), ReachAlways}, o.Files...)}
	result := o.From(migrate.Input{Name: o.Config, Text: text, Now: time.Now(), Host: host, Read: r.read})
	for _, m := range result.Remarks {
		fmt.Fprintln(warn, m)
	}
	found, err := check(result, o.Name)
	if err != nil {
		return err
	}
	for _, f := range found {
		fmt.Fprintln(warn, f)
	}
	if o.Write == "" {
		return show(out, result, o.Name)
	}
	dir, err := filepath.Abs(o.Write)
	if err != nil {
		return err
	}
	paths, err := write(files(result, o.Name, dir), dir)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "written: %s\n%s, %s; check the files, then: dmarcgate check-config -c %s\n", strings.Join(paths, ", "),
		term.Count(result.Warnings(), "warning"), term.Count(len(result.Rules), "rule"), term.ShellWord(filepath.Join(dir, "dmarcgate.toml")))
	return err
}

// files are what a result becomes in a directory, by path below the directory.
func files(r migrate.Result, name, dir string) map[string]string {
	out := map[string]string{"dmarcgate.toml": r.Config(filepath.Join(dir, "rules.d"))}
	if text := r.RuleFile(); text != "" {
		out["rules.d/"+name+".toml"] = text
	}
	for path, items := range r.Maps {
		out["rules.d/"+path] = strings.Join(items, "\n") + "\n"
	}
	return out
}

// check loads the files as the daemon would, from a directory that is removed, and
// returns the findings.
func check(r migrate.Result, name string) ([]site.Remark, error) {
	dir, err := os.MkdirTemp("", "dmarcgate-import")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if _, err := write(files(r, name, dir), dir); err != nil {
		return nil, err
	}
	in, err := site.Load(filepath.Join(dir, "dmarcgate.toml"), site.SuffixPart|site.RulePart|site.CopiedRules)
	if err != nil {
		return nil, fmt.Errorf("check-config would refuse the files: %w", err)
	}
	var found []site.Remark
	for _, p := range in.Config.Warnings() {
		found = append(found, site.Remark{Level: site.LevelWarning, Problem: p})
	}
	if in.RuleSet != nil {
		found = append(found, site.Remarks(in.RuleSet.Findings)...)
	}
	for i, f := range found {
		found[i].File = strings.TrimPrefix(f.File, dir+"/")
	}
	return found, nil
}

// show prints the files one behind the other.
func show(out io.Writer, r migrate.Result, name string) error {
	all := files(r, name, "/etc/dmarcgate")
	for i, path := range slices.Sorted(maps.Keys(all)) {
		gap := "\n"
		if i == 0 {
			gap = ""
		}
		if _, err := fmt.Fprintf(out, "%s### %s\n%s", gap, path, all[path]); err != nil {
			return err
		}
	}
	return nil
}

// write makes all files or none. Paths are returned in their order.
func write(all map[string]string, dir string) (made []string, err error) {
	defer func() {
		if err != nil {
			for _, path := range made {
				os.Remove(path)
			}
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return made, err
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			return made, fmt.Errorf("%s is there already; write to another directory, or move the file away", path)
		}
		if err != nil {
			return made, err
		}
		made = append(made, path)
		_, err = io.WriteString(f, all[name])
		if err := errors.Join(err, f.Close()); err != nil {
			return made, err
		}
	}
	return made, nil
}
