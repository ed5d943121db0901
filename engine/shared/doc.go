// Package shared makes memory that several processes use at once: a run of words whose size nobody can change, so that no access to it can
// fault, with a magic number and a layout number at its beginning, so that a program of another version does not take it for its own.
//
// It does not say what the words mean, who may write them, or how a descriptor gets to another process: those who use it do.
package shared
