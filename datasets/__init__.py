"""Files on disk -> Scene. One loader a file format; every loader converts to the camera convention of `Cameras`."""
