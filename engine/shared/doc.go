// Package shared makes memory that several processes share: an array of words with a fixed size, so that no access to it can
// fault. It begins with a magic number and a layout number, so that another version of the program does not mistake it for its own.
//
// The package does not define what the words mean, who may write them, or how a descriptor gets to another process.
package shared
