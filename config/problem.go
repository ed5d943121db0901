package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Root is the path of a problem with the whole document.
const Root = "(top level)"

// Problem is one error or warning about a file.
type Problem struct {
	File string // as given to Load or Parse, or as found by "include"

	// Line and Column count from 1, columns in characters. Both are 0 if the file
	// could not be read at all.
	Line, Column int

	// Path is a JSON path such as "stream.servers.backend.hosts[1].port", or Root.
	// Keys that are not plain words are quoted: stream["a b"]. Path is ""
	// if the file could not be read at all.
	Path string

	What   string // what is wrong
	Remedy string // what would be right
}

// String returns the problem as one line:
//
//	stream.json:12:15: stream.proxy_to: no group named "backnd" in servers; did you mean "backend"?
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		b.WriteByte(':')
	}
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", p.Line, p.Column)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if p.Path != "" {
		b.WriteString(shorten(p.Path, 200))
		b.WriteString(": ")
	}
	b.WriteString(p.What)
	if p.Remedy != "" {
		b.WriteString("; ")
		b.WriteString(p.Remedy)
	}
	return b.String()
}

// maxProblems bounds the listed errors, and the listed warnings.
const maxProblems = 1000

// problems collects problems. The first maxProblems are kept; further ones are only counted.
type problems struct {
	list []Problem
	more int
}

func (l *problems) add(p Problem) {
	if len(l.list) == maxProblems {
		l.more++
		return
	}
	l.list = append(l.list, p)
}

// count returns how many problems were added.
func (l *problems) count() int { return len(l.list) + l.more }

// Error is all errors of a file, ordered by place, or the first thousand.
type Error struct {
	Problems []Problem // at least one
	More     int       // number of errors that are not in Problems

	err error // the system's error if the file could not be read
}

// Error returns the problems, one per line, and their number if there are several.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	if n := len(e.Problems); n > 1 {
		where := e.Problems[0].File
		if files := len(filesOf(e.Problems)); files > 1 {
			where = fmt.Sprintf("%d files", files)
		}
		fmt.Fprintf(&b, "\n%d errors in %s", n+e.More, where)
		if e.More > 0 {
			fmt.Fprintf(&b, ", of which %d are shown", n)
		}
	}
	return b.String()
}

// Unwrap returns the system's error if the file could not be read, so that
// errors.Is(err, fs.ErrNotExist) works; otherwise nil.
func (e *Error) Unwrap() error { return e.err }

// AsError returns problems, together with those of err, which may be nil, as an
// *Error, ordered by place; nil if there are none. It turns warnings
// into errors.
func AsError(problems []Problem, err error) error {
	if len(problems) == 0 {
		return err
	}
	all := &Error{Problems: slices.Clone(problems)}
	if e, ok := errors.AsType[*Error](err); ok {
		all.Problems = append(all.Problems, e.Problems...)
		all.err, all.More = e.err, e.More
	}
	sortProblems(all.Problems, filesOf(all.Problems))
	return all
}

// filesOf returns the distinct files of a list, in order.
func filesOf(list []Problem) []string {
	var files []string
	seen := make(map[string]bool)
	for _, p := range list {
		if !seen[p.File] {
			files, seen[p.File] = append(files, p.File), true
		}
	}
	return files
}

// sortProblems sorts a list by file, in the order of files, and by place.
func sortProblems(list []Problem, files []string) {
	rank := make(map[string]int, len(files))
	for i, f := range slices.Backward(files) {
		rank[f] = i
	}
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank[a.File], rank[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// shorten cuts the middle out of a text longer than limit characters: a file may
// have a key of a megabyte.
func shorten(s string, limit int) string {
	if len(s) <= limit || utf8.RuneCountInString(s) <= limit {
		return s
	}
	r := []rune(s)
	return string(r[:limit/2]) + "…" + string(r[len(r)-limit/2:])
}
