"""The files of other packages: EnCodec's .ecdc and Descript's .dac, read and written."""
