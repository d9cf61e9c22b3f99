package site

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"dmarcgate/config"
	"dmarcgate/term"
)

// DefaultConfig is where the packages put the configuration file.
const DefaultConfig = "/etc/dmarcgate/dmarcgate.toml"

// maxToldProblems is how many problems of a broken configuration a command tells
// that goes on without it: our limit, one screen with room for the answer.
const maxToldProblems = 5

// LoadPartly reads the configuration for a command that only looks. A file that
// is broken, or that this user cannot read, is told, and the command goes on with
// what can be read of it and defaults. That a file is not there is an error only
// when it was named.
func LoadPartly(warn io.Writer, path string) (*config.Config, error) {
	cfg, err := config.LoadPartly(path)
	switch {
	case err == nil:
		return cfg, nil
	case errors.Is(err, fs.ErrNotExist) && path != DefaultConfig:
		return nil, err
	case errors.Is(err, fs.ErrNotExist):
		return cfg, nil
	}
	TellProblems(warn, err)
	fmt.Fprintln(warn, "dmarcgate: continuing with the readable part of the configuration and defaults")
	return cfg, nil
}

// TellProblems prints why a configuration or its rules cannot be used: the first
// problems, and how many more there are.
func TellProblems(w io.Writer, err error) {
	lines := strings.Split(err.Error(), "\n")
	for _, line := range lines[:min(len(lines), maxToldProblems)] {
		fmt.Fprintln(w, line)
	}
	if more := len(lines) - maxToldProblems; more > 0 {
		fmt.Fprintf(w, "and %s more: dmarcgate check-config lists them\n", term.Count(more, "problem"))
	}
}

// TellDemoted prints the rules that are not enforced, as after a start of the daemon,
// because this version refuses them: the first ones, and how many more there are.
func (in Site) TellDemoted(w io.Writer) {
	demoted := in.Demoted()
	for _, r := range demoted[:min(len(demoted), maxToldProblems)] {
		fmt.Fprintf(w, "dmarcgate: rule %s is taken for one in shadow, as the daemon takes it at a start: %s\n", r.Rule, term.Printable(r.String()))
	}
	if more := len(demoted) - maxToldProblems; more > 0 {
		fmt.Fprintf(w, "and %s more: dmarcgate rules lint lists them\n", term.Count(more, "rule"))
	}
}
