"""Stored images and files, references of callers, signed URLs, transcoding."""
