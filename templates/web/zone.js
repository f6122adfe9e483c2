for (const field of document.getElementsByName("zone")) {
  field.value = Intl.DateTimeFormat().resolvedOptions().timeZone;
}
