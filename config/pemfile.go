package config

import (
	"io"
	"os"
)

// maxPEMSize bounds a certificate or key file, in bytes.
const maxPEMSize = 1 << 20

// pemFile is the content of a file, never empty, or why there is none.
type pemFile struct {
	content      []byte
	what, remedy string
}

// pem returns the content of the file that key names; nil if there is none or it
// cannot be read. A file that is named twice is read once, so that
// all uses have the same content even if the file is being replaced.
func (o object) pem(key, path string) []byte {
	if path == "" {
		return nil
	}
	f, known := o.read[path]
	if !known {
		f = o.open(path)
		o.read[path] = f
	}
	if f.what != "" {
		n, at := o.child(key)
		o.fail(n, at, quote(path)+" "+f.what, f.remedy)
	}
	return f.content
}

// contents returns the files that were read.
func (d *decoder) contents() Files {
	files := make(Files, len(d.read))
	for path, f := range d.read {
		if f.what == "" {
			files[path] = f.content
		}
	}
	return files
}

// newPEM returns a file with this content.
func newPEM(content []byte) pemFile {
	switch {
	case len(content) > maxPEMSize:
		return pemFile{what: "is larger than 1 MiB", remedy: "give a PEM file"}
	case len(content) == 0:
		return pemFile{what: "is empty", remedy: "give a PEM file"}
	}
	return pemFile{content: content}
}

// unopened returns a file that cannot be opened.
func unopened(err error) pemFile {
	return pemFile{what: "cannot be opened: " + reason(err), remedy: "give a readable PEM file; a relative path begins at the working directory"}
}

// readPEM reads a file.
func readPEM(path string) pemFile {
	// Refuse pipes: they can be read only once, and opening one may block.
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return pemFile{what: "is not a regular file", remedy: "give the path of a PEM file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return unopened(err)
	}
	defer func() { _ = f.Close() }() // opened for reading only: no data can be lost
	content, err := io.ReadAll(io.LimitReader(f, maxPEMSize+1))
	if err != nil {
		return pemFile{what: "cannot be read: " + reason(err), remedy: "give a readable PEM file"}
	}
	return newPEM(content)
}
