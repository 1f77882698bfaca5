"""image-classification: a convolutional network from pictures to probabilities of classes."""
