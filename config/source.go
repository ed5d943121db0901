package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Source is everything that a configuration was made from, except the PEM files
// that it names. With a Source and these, the configuration can be
// made again, in another process too, even if the files and the environment have
// changed.
type Source struct {
	Path     string              // of the file, for messages
	Text     []byte              // content of the file
	Included map[string][]byte   // contents of the included files, by path
	Found    map[string][]string // the paths that match the patterns in "include"
	Env      map[string]string   // the environment variables that it uses and that are set
}

// Parse makes the configuration of s, with the PEM files as they are now. The
// results are as for Load.
func (s Source) Parse() (*Config, []Problem, error) {
	return parse(s, s, decoder{open: readPEM, now: time.Now()})
}

// ParseWith is Parse for a process that may not read the PEM files that the
// configuration names, or must use earlier contents: it opens no files, and
// a file that is not in files does not exist. It ignores the clock, and so warns of
// no certificates. The Config retains the contents of files.
func (s Source) ParseWith(files Files) (*Config, []Problem, error) {
	return parse(s, s, decoder{open: func(path string) pemFile {
		if content, ok := files[path]; ok {
			return newPEM(content)
		}
		return unopened(syscall.ENOENT)
	}})
}

// environment provides included files and environment variables.
type environment interface {
	file(path string) ([]byte, error) // an *Error
	glob(pattern string) ([]string, error)
	env(name string) (value string, set bool)
}

func (s Source) file(path string) ([]byte, error) {
	if text, ok := s.Included[path]; ok {
		return text, nil
	}
	return nil, &Error{err: os.ErrNotExist, Problems: []Problem{{File: path, What: "there is no such file", Remedy: "correct the path"}}}
}

func (s Source) glob(pattern string) ([]string, error) { return s.Found[pattern], nil }

func (s Source) env(name string) (string, bool) {
	value, set := s.Env[name]
	return value, set
}

// osEnvironment is the environment of this process.
type osEnvironment struct{}

func (osEnvironment) file(path string) ([]byte, error)      { return readFile(path) }
func (osEnvironment) glob(pattern string) ([]string, error) { return filepath.Glob(pattern) }
func (osEnvironment) env(name string) (string, bool)        { return os.LookupEnv(name) }

// Hash returns a hash, in hex, of the text, those of the included files, and the environment variables that are used. It does not depend on the
// path of the file or on PEM files.
func (s Source) Hash() string {
	h := sha256.New()
	part := func(text string) { fmt.Fprintf(h, "%d:%s", len(text), text) }
	part(string(s.Text))
	for _, path := range slices.Sorted(maps.Keys(s.Included)) {
		part(path)
		part(string(s.Included[path]))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		part(name)
		part(s.Env[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}
