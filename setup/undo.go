package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"dmarcgate/mta/postfix"
	"dmarcgate/term"
)

// UndoPostfix takes back what ApplyPostfix has changed in an instance. Files that
// nobody has changed since are put back as they were. In others only our changes are
// taken back: a parameter that somebody else has changed since loses our milter and
// keeps the rest.
func UndoPostfix(ctx context.Context, o Options) error {
	if os.Geteuid() != 0 {
		return term.Usagef("--undo: only root can change the configuration of Postfix")
	}
	i, err := postfix.Read(ctx, o.Dir)
	if err != nil {
		return err
	}
	j, err := o.repaired(ctx, i.Dir, false)
	if err != nil {
		return err
	}
	defer j.close()
	var d done
	switch err := readJSON(j.path("done.json"), &d); {
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(o.Out, "nothing to undo: dmarcgate setup has changed nothing in %s\n", term.Printable(i.Dir))
		return nil
	case err != nil:
		return err
	}
	if err := takeBack(ctx, j, d); err != nil {
		return errors.Join(err, o.repair(ctx, j))
	}
	if err := os.RemoveAll(j.path()); err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "%s is without the changes of dmarcgate setup\n", term.Printable(i.Dir))
	if running(ctx, i.Dir) {
		return reload(ctx, i.Dir)
	}
	return nil
}

// takeBack moves the original files back where that loses nothing, main.cf first,
// and edits the others.
func takeBack(ctx context.Context, j *journal, d done) error {
	edit := map[bool]bool{} // whether main.cf (true) or master.cf has to be edited
	for _, name := range slices.Backward(j.files) {
		if d.Exact {
			if _, err := j.restore(j.path(originalName, name), name, d.After[name]); err == nil {
				continue
			}
		}
		edit[name == "main.cf"] = true
	}
	changes := slices.DeleteFunc(slices.Clone(d.Changes), func(c postfix.Change) bool { return !edit[c.Service == ""] })
	if len(changes) == 0 {
		return syncDir(j.dir)
	}
	if err := j.begin(); err != nil {
		return err
	}
	i, err := postfix.Read(ctx, j.edited())
	if err != nil {
		return err
	}
	for _, c := range changes {
		command, err := undoOf(c, i)
		if err != nil {
			return err
		}
		if command == nil {
			continue
		}
		if err := runIn(ctx, command); err != nil {
			return err
		}
	}
	if err := j.swap(); err != nil {
		return err
	}
	return j.discard()
}

// undoOf is the command that takes a change back, or nil when it is gone already.
func undoOf(c postfix.Change, i *postfix.Instance) ([]string, error) {
	now, set := i.Set[c.Name]
	if c.Service != "" {
		s, _ := i.Service(c.Service)
		now, set = s.Written[c.Name]
	}
	have, err := postfix.ParseMilters(now)
	ours, err2 := postfix.ParseMilters(c.New)
	old, err3 := postfix.ParseMilters(c.Old)
	switch {
	case !set:
		return nil, nil
	case err == nil && err2 == nil && same(have, ours):
		return c.Undo(i.Dir), nil
	case errors.Join(err, err2, err3) != nil:
		return nil, fmt.Errorf("%s is %q: take the milter dmarcgate out by hand", c.Name, term.Printable(now))
	}
	// Somebody has changed the list since: ours is what the change has added.
	added := func(m postfix.Milter) bool {
		at := func(list []postfix.Milter) bool {
			return slices.ContainsFunc(list, func(o postfix.Milter) bool { return o.Address == m.Address })
		}
		return at(ours) && !at(old)
	}
	rest := slices.DeleteFunc(slices.Clone(have), added)
	if same(rest, have) {
		return nil, nil
	}
	value := postfix.FormatMilters(rest)
	if c.Service != "" {
		if value, err = compact(rest); err != nil {
			return nil, err
		}
	}
	return postfix.Change{Service: c.Service, Name: c.Name, New: value}.Command(i.Dir), nil
}
